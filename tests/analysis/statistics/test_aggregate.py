"""Cells: means over seeds against numbers counted by hand, what is missing, and their positions."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.reading.load import load_study
from analysis.statistics.aggregate import aggregate_cells, find_axis_positions
from analysis.statistics.intervals_and_tests import t_interval
from tests.analysis.synthetic import Writer, make_own_rows, make_row, write_study


def test_summary_agrees_with_single_intervals(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path / "s", methods=("magnitude", "lottery_ticket")))
    cells = aggregate_cells(study.rows, "test_loss", plan=study.plan)
    assert len(cells) == 1 + 6 + 10
    for cell in cells.to_dict("records"):
        of_cell = study.rows[
            (study.rows["method"] == cell["method"])
            & (study.rows["level"] == cell["level"])
            & np.isclose(study.rows["sparsity"], float(cell["sparsity"]))
        ]
        expected = t_interval(of_cell["test_loss"])
        assert (cell["n"], cell["expected"]) == (3, 3)
        assert cell["mean"] == pytest.approx(expected.mean, abs=1e-12)
        assert cell["half_width"] == pytest.approx(expected.half_width, abs=1e-12)


def test_summary_counts_what_is_missing(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2, 3):
        writer.add(
            [make_row("magnitude", 0.1 + 0.2, seed)], outcome="done" if seed < 3 else "missing"
        )
        writer.add([make_row("magnitude", 0.9, seed)], outcome="missing")
    writer.add([make_row("magnitude", 0.5, 1, test_top1=None)])
    study = load_study(writer.finish())
    cells = aggregate_cells(study.rows, "test_top1", plan=study.plan).set_index("sparsity")
    assert cells[["n", "expected"]].to_dict("index") == {
        0.3: {"n": 2, "expected": 3},
        0.5: {"n": 0, "expected": 1},
        0.9: {"n": 0, "expected": 3},
    }
    assert cells["mean"].isna().tolist() == [False, True, True]
    assert aggregate_cells(study.rows, "test_top1")["expected"].isna().all()


def test_own_levels_are_cells_whatever_they_reach(tmp_path: Path) -> None:
    """Seed 1 has levels 1 to 3, seed 2 only two and no value at the second, seed 3 is missing."""
    writer = Writer(tmp_path)
    first = make_own_rows("han_iterative", (0.40, 0.61, 0.75), 1)
    second = make_own_rows("han_iterative", (0.42, 0.63), 2)
    first[1]["test_top1"] = second[1]["test_top1"] = None
    writer.add(first)
    writer.add(second)
    writer.add(make_own_rows("han_iterative", (0.4,), 3), outcome="missing")
    writer.add(make_own_rows("other", (0.4,), 3), outcome="missing")
    study = load_study(writer.finish())
    assert study.plan["sparsities"].tolist() == [[], [], [], []]
    cells = aggregate_cells(study.rows, "test_top1", plan=study.plan)
    assert cells["sparsity"].isna().all()
    cells_found = [
        (c["method"], c["level"], c["n"], c["expected"])
        for c in cells.fillna({"level": -1}).to_dict("records")
    ]
    expected = [
        ("han_iterative", 1, 2, 3),
        ("han_iterative", 2, 0, 3),
        ("han_iterative", 3, 1, 3),
        ("other", -1, 0, 1),
    ]
    assert cells_found == expected
    values = [float(str(rows[0]["test_top1"])) for rows in (first, second)]
    assert cells["mean"][0] == pytest.approx(np.mean(values), abs=1e-12)


def test_places_are_honest() -> None:
    nothing = float("nan")
    asked = [0.5, 0.5, 0.5, 0.5, nothing, nothing]
    reached = [0.5005, 0.5006, 0.4993, nothing, 0.843, nothing]
    places = find_axis_positions(pd.DataFrame({"sparsity": asked, "sparsity_reached": reached}))
    np.testing.assert_array_equal(places, [0.5, 0.5006, 0.4993, 0.5, 0.843, nothing])


def test_a_seed_counts_once() -> None:
    rows = pd.DataFrame([make_row("magnitude", 0.5, 1, test_top1=value) for value in (90.0, 92.0)])
    cells = aggregate_cells(rows, "test_top1")
    assert cells[["n", "mean"]].to_numpy().tolist() == [[1, 91.0]]
    assert cells["half_width"].isna().all()


def test_settings_are_not_mixed() -> None:
    rows = [make_row("magnitude", 0.5, 1), make_row("magnitude", 0.5, 1, recipe='{"epochs": 5}')]
    rows += [
        make_row("magnitude", 0.5, 1, knobs='{"scope": "layer"}'),
        make_row("magnitude", 0.5, 1, stage="raw"),
    ]
    assert aggregate_cells(pd.DataFrame(rows), "test_top1")["n"].tolist() == [1, 1, 1, 1]


def test_unknown_column() -> None:
    with pytest.raises(ValueError, match="no column 'test_top2'"):
        aggregate_cells(pd.DataFrame([make_row("dense", 0.0, 1)]), "test_top2")


def test_planned_cells_have_the_stages_of_their_own_knobs(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add([make_row("wanda", 0.5, 1, stage=stage) for stage in ("raw", "recalibrated")])
    writer.add([make_row("wanda", 0.5, 1, knobs='{"finetune": true}', stage="finetuned")])
    writer.add([make_row("wanda", 0.9, 1, knobs='{"finetune": true}')], outcome="missing")
    study = load_study(writer.finish())
    cells = aggregate_cells(study.rows, "test_top1", plan=study.plan)
    assert cells.loc[cells["n"] == 0, ["sparsity", "stage"]].to_numpy().tolist() == [
        [0.9, "finetuned"]
    ]
