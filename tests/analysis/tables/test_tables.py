"""Tables: cells by hand.

Covers: analysis/tables/accuracy_table.py, analysis/tables/bootstrap_table.py,
analysis/tables/cell_text.py, analysis/tables/comparisons_table.py,
analysis/tables/completeness_table.py, analysis/tables/device_time_table.py,
analysis/tables/efficiency_table.py, analysis/tables/leaderboard_table.py,
analysis/tables/levels_table.py, analysis/tables/sparsity_curves_table.py,
analysis/tables/table.py.
"""

import csv
import io
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from analysis.captions import format_counts, format_duration, format_interval, format_p
from analysis.reading.load import Study, load_study
from analysis.reading.study_completeness import find_missing_trials
from analysis.statistics.results import collect_results
from analysis.tables.accuracy_table import make_accuracy_table
from analysis.tables.bootstrap_table import make_bootstrap_table
from analysis.tables.cell_text import format_epochs, format_number
from analysis.tables.comparisons_table import (
    make_best_table,
    make_controls_table,
    make_dense_table,
    make_longer_dense_table,
)
from analysis.tables.completeness_table import make_missing_table
from analysis.tables.device_time_table import make_device_time_table
from analysis.tables.efficiency_table import make_efficiency_table
from analysis.tables.leaderboard_table import make_leaderboard_table
from analysis.tables.levels_table import make_interpolated_table, make_levels_table
from analysis.tables.sparsity_curves_table import make_sparsity_curves_table
from analysis.tables.table import Table
from tests.analysis.interval_text import hide_intervals
from tests.analysis.synthetic import Writer, make_own_rows, make_row, write_study


def make_tables(study: Study) -> tuple[Table, Table]:
    results = collect_results(study)
    return make_efficiency_table(results), make_accuracy_table(results)


def make_small_study(folder: Path) -> Study:
    """Magnitude at 0.5: 2 of 3 seeds, 93 and 94; at 0.9: none of 1. A structured method that misses
    its sparsity."""
    writer = Writer(folder)
    for seed in (1, 2, 3):
        row = make_row(
            "magnitude",
            0.5,
            seed,
            test_top1=92.0 + seed,
            bytes=40_000_000,
            effective_macs=123_456_789.0,
        )
        writer.add([row], outcome="done" if seed < 3 else "missing")
    writer.add([make_row("magnitude", 0.9, 1)], outcome="missing")
    writer.add(
        [make_row("l1_filter", 0.5, 1, sparsity_reached=0.5031, test_top1=91.0, nonzero=None)]
    )
    writer.add([make_row("l1_filter", 0.9, 1, sparsity_reached=0.9004, test_top1=90.0)])
    return load_study(writer.finish())


def test_cells_by_hand(tmp_path: Path) -> None:
    efficiency, accuracy = make_tables(make_small_study(tmp_path))
    head = (
        "Method",
        "Sparsity (%)",
        "Test top-1 accuracy (%)",
        "n",
        "Top-5 (%)",
        "Params (M)",
        "Nonzero (M)",
    )
    assert efficiency.head == (*head, "Size (MB)", "Sparse (MB)", "MACs (M)", "Eff. MACs (M)")
    # sparse: 40 - 4 x (11.173962 - 5.591786) + 11.173962 / 8
    whole = ("11.174", "5.592", "40.00", "19.07", "556.65", "123.46")
    assert [row[:4] + row[5:] for row in hide_intervals(efficiency.cells)] == [
        ("Magnitude", "50", "93.50 […] (2/3)", "2", *whole),
        ("Magnitude", "90", "– (0/1)", "0", *["–"] * 6),
        (
            "L1 filter",
            "50 (reached 50.31)",
            "91.00",
            "1",
            "11.174",
            "–",
            "44.70",
            "–",
            "556.65",
            "298.30",
        ),
        ("L1 filter", "90", "90.00", "1", "11.174", "1.126", "44.70", "5.90", "556.65", "70.08"),
    ]
    assert efficiency.rules == {2}
    assert accuracy.head == ("Method", "Epochs", "50 %", "90 %")
    assert hide_intervals(accuracy.cells) == [
        ("Magnitude", "160", "93.50 […] (2/3)", "– (0/1)"),
        ("L1 filter", "160", "91.00", "90.00"),
    ]
    assert "what L1 filter reached is in table 'efficiency'" in accuracy.caption


def test_the_longer_side_runs_down(tmp_path: Path) -> None:
    _, accuracy = make_tables(load_study(write_study(tmp_path / "s", methods=("lottery_ticket",))))
    assert accuracy.head == ("Sparsity (%)", "Dense", "Lottery ticket")
    assert len(accuracy.cells) == 1 + 10
    assert accuracy.cells[0][2:] == ("",)


def test_levels_do_not_widen_the_matrix(tmp_path: Path) -> None:
    """A ticket that visits 0.5, as magnitude does, and 0.7, as nobody does; Han's rule reaches 0.41
    and 0.62."""
    writer = Writer(tmp_path)
    for seed in (1, 2):
        writer.add([make_row("dense", 0.0, seed, test_top1=94.0)])
        writer.add([make_row("magnitude", 0.5, seed, test_top1=93.0)])
        ticket = [
            make_row("lottery_ticket", s, seed, level=n, test_top1=90.0 + n)
            for n, s in ((1, 0.5), (2, 0.7))
        ]
        writer.add(ticket)
        rows = make_own_rows(
            "han_iterative", (0.4 + seed / 100, 0.6 + seed / 100), seed, test_top1=92.0
        )
        writer.add(rows, outcome="done" if seed == 1 else "missing")
    study = load_study(writer.finish())
    results = collect_results(study)
    accuracy, levels = make_accuracy_table(results), make_levels_table(results)
    assert accuracy.head == ("Method", "Epochs", "0 %", "50 %")
    assert hide_intervals(accuracy.cells) == [
        ("Dense", "160", "94.00 […]", ""),
        ("Magnitude", "160", "", "93.00 […]"),
        ("Lottery ticket", "160", "", "91.00 […]"),
    ]
    assert accuracy.caption.endswith("All levels of Lottery ticket, Han iterative: table 'levels'.")
    assert levels.head == (
        "Method",
        "Level",
        "Sparsity (%)",
        "Test top-1 accuracy (%)",
        "n",
        "Epochs",
    )
    assert hide_intervals(levels.cells) == [
        ("Lottery ticket", "1", "50", "91.00 […]", "2", "160"),
        ("Lottery ticket", "2", "70", "92.00 […]", "2", "160"),
        ("Han iterative", "1", "41 (reached)", "92.00 (1/2)", "1", "160"),
        ("Han iterative", "2", "61 (reached)", "92.00 (1/2)", "1", "160"),
    ]
    assert levels.rules == {2}
    assert "(reached): the method's own rule" in levels.caption
    raw = list(csv.DictReader(io.StringIO(levels.to_csv())))
    assert [line["sparsity"] for line in raw] == ["0.5", "0.7", "", ""]
    assert float(raw[2]["sparsity_reached"]) == pytest.approx(0.41)
    assert [row[1] for row in make_efficiency_table(results).cells][-2:] == [
        "41 (reached)",
        "61 (reached)",
    ]


def test_a_study_of_one_rule_alone(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add(make_own_rows("han_iterative", (0.4, 0.6), 1), outcome="missing")
    writer.add([make_row("dense", 0.0, 1)])
    study = load_study(writer.finish())
    results = collect_results(study)
    assert make_accuracy_table(results).head == ("Method", "Epochs", "0 %")
    row = ("Han iterative", "–", "own rule", "– (0/1)", "0", "–")
    assert make_levels_table(results).cells == (row,)


def test_several_settings_share_a_table(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for model in ("mlp", "resnet18"):
        writer.add([make_row("dense", 0.0, 1, model=model)])
        writer.add([make_row("magnitude", 0.5, 1, model=model)])
    efficiency, accuracy = make_tables(load_study(writer.finish()))
    assert [row[:2] for row in efficiency.cells] == [
        ("cifar10, mlp", "Dense"),
        ("cifar10, mlp", "Magnitude"),
        ("cifar10, resnet18", "Dense"),
        ("cifar10, resnet18", "Magnitude"),
    ]
    assert accuracy.head[0] == "Setting"
    assert accuracy.rules == {2}


def test_captions_say_what_the_numbers_are(tmp_path: Path) -> None:
    sparsities = (0.5, 0.8, 0.9, 0.95)
    folder = write_study(tmp_path / "full", methods=("magnitude",), sparsities=sparsities)
    study = load_study(folder)
    caption = make_tables(study)[1].caption
    assert caption == (
        "Test top-1 accuracy (%), cifar10, resnet18. An unknown number of test images. Mean over "
        "seeds (n = 3) and its 95 % interval, by a model of all cells of a setting that shares "
        "their variances."
    )  # one method has no rival, so nothing is bold; here sparsities run down, without epochs
    folder = write_study(
        tmp_path / "one", methods=("magnitude",), seeds=(1,), sparsities=sparsities
    )
    study = load_study(folder)
    caption = make_tables(study)[1].caption
    assert "95 %" not in caption
    assert "one seed has no interval" in caption
    caption = make_tables(make_small_study(tmp_path / "gaps"))[1].caption
    assert "(n = 1 to 2)" in caption
    assert "(k/n): k of n planned seeds" in caption


def test_counts() -> None:
    assert format_counts([3, 3, 0]) == "n = 3"
    assert format_counts([2, 3, 5]) == "n = 2 to 5"
    assert format_counts([0]) == "n = 0"


def test_csv_is_the_numbers(tmp_path: Path) -> None:
    study = make_small_study(tmp_path)
    efficiency, _ = make_tables(study)
    first = next(csv.DictReader(io.StringIO(efficiency.to_csv())))
    assert float(first["mean"]) == 93.5
    assert 0 < float(first["low"]) < 93 < 94 < float(first["high"]) < 100
    assert float(first["half_width"]) == pytest.approx(12.706204736432095 / 2), "Student's t"
    assert (first["n"], float(first["expected"])) == ("2", 3.0)
    assert float(first["bytes"]) == 40_000_000
    pd.testing.assert_frame_equal(
        pd.read_csv(io.StringIO(efficiency.to_csv()))[["mean", "sparsity"]],
        efficiency.raw[["mean", "sparsity"]],
    )


def test_markdown_is_rectangular(tmp_path: Path) -> None:
    efficiency, accuracy = make_tables(make_small_study(tmp_path))
    for table in (efficiency, accuracy):
        lines = table.to_markdown().split("\n\n")[0].splitlines()
        assert {line.count("|") for line in lines} == {len(table.head) + 1}
        assert len({len(line) for line in lines}) == 1
        assert len(lines) == 2 + len(table.cells)
        assert re.fullmatch(r"\|( -+:? \|)+", lines[1])


def test_bold_in_every_form() -> None:
    cells = (("a", "1"), ("b", "2"))
    table = Table(
        "t", "T", "C", ("M", "V"), cells, 1, frozenset(), pd.DataFrame(), frozenset({(1, 1)})
    )
    assert table.to_text().splitlines()[-1] == "b  2*"
    assert "| b   | **2** |" in table.to_markdown()
    assert r"b & \textbf{2} \\" in table.to_latex()


def test_comparisons_are_tables_with_their_number(tmp_path: Path) -> None:
    results = collect_results(
        load_study(write_study(tmp_path / "s", seeds=(1, 2, 3, 4), sparsities=(0.9, 0.98)))
    )
    dense, best = make_dense_table(results), make_best_table(results)
    assert dense.head == ("Method", "Sparsity (%)", "Difference", "n", "p", "p (Holm)", "Separable")
    assert (
        "corrected for the 16 comparisons" in dense.caption
    )  # 3 methods x 2, and 10 levels of tickets
    assert best.head[1] == "Best"
    assert "corrected for the 2 comparisons" in best.caption, "random does not compete"
    assert "multiplied by k / 2" in best.caption
    assert {row[:2] for row in best.cells} == {("Magnitude", "SynFlow")}
    controls = make_controls_table(results)
    assert controls.head[1] == "Control"
    assert {row[:2] for row in controls.cells} == {("Magnitude", "Random"), ("SynFlow", "Random")}
    verdicts = {row[2]: row[-1] for row in controls.cells if row[0] == "SynFlow"}
    assert verdicts["98"] == "yes"
    assert controls.raw["control"].tolist() == ["Random"] * 4
    assert list(best.raw.columns).count("n") == 1
    assert make_longer_dense_table(results).cells == ()


def test_what_is_not_paired_is_counted(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2, 3):
        writer.add([make_row("dense", 0.0, seed)])
        writer.add([make_row("magnitude", 0.9, seed + 10)])
        writer.add([make_row("snip", 0.9, seed)])
    caption = make_dense_table(collect_results(load_study(writer.finish()))).caption
    assert "1 of them not paired by seed" in caption


def test_the_leaderboard_has_ranks_and_references(tmp_path: Path) -> None:
    study = load_study(
        write_study(tmp_path / "s", methods=("magnitude", "random"), sparsities=(0.9,))
    )
    table = make_leaderboard_table(collect_results(study))
    metric = "Test top-1 accuracy (%)"
    first = ("Sparsity (%)", "Rank", "Method", metric, "n", "To the best", "p", "To dense", "p")
    assert table.head == (*first, "Epochs", "Training (s)", "Controls beaten")
    assert [row[:3] for row in table.cells] == [
        ("90", "–", "Dense"),
        ("90", "1", "Magnitude"),
        ("90", "–", "Random"),
    ]
    assert [row[-3] for row in table.cells] == ["160", "320", "320"]
    assert table.cells[1][-1] == "1 of 1" and table.cells[2][-1] == "–"
    assert table.bold == frozenset(), "one method has no rival"
    raw = pd.read_csv(io.StringIO(table.to_csv()))
    assert {"rank", "setting", "sparsity", "p_dense_adjusted", "total_epochs"} <= set(raw)


def test_training_is_counted_in_macs_where_rows_have_them(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2):
        for method in ("magnitude", "snip"):
            writer.add([make_row(method, 0.9, seed, train_macs=5e11)])
    table = make_leaderboard_table(collect_results(load_study(writer.finish())))
    assert table.head[-1] == "Training (TMACs)"
    assert [row[-1] for row in table.cells] == ["0.500", "0.500"]
    assert len(table.bold) == 4, "rank and name of two that are not separable"


def test_how_far_a_method_goes(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2, 3):
        writer.add([make_row("dense", 0.0, seed, test_top1=95.0)])
        for method, losses in (("magnitude", (0.0, 0.5)), ("snip", (0.5, 4.5 + 0.1 * seed))):
            for sparsity, loss in zip((0.5, 0.9), losses, strict=True):
                writer.add([make_row(method, sparsity, seed, test_top1=95.0 - loss)])
    table = make_sparsity_curves_table(collect_results(load_study(writer.finish())))
    ends = ("Area", "n", "Over (%)", "To the best", "p (Holm)")
    assert table.head == ("Method", "Critical (%)", "n", "Density to the best", "p (Holm)", *ends)
    magnitude, snip = table.cells
    assert magnitude[:5] == ("Magnitude", "at least 90", "3", "–", "–")
    assert magnitude[6:] == ("3", "50 to 90", "–", "–")
    assert re.fullmatch(r"58\.\d+ \[[\d.]+, [\d.]+\]", snip[1])
    assert snip[8].startswith("−2.") and float(snip[9]) < 0.05
    assert table.raw["at_least"].tolist() == [True, False]


def test_only_a_column_that_says_so_is_interpolated(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2):
        levels = ((1, 0.5), (2, 0.75), (3, 0.9))
        writer.add([make_row("lottery_ticket", s, seed, level=level) for level, s in levels])
        writer.add([make_row("magnitude", 0.8, seed)])
    table = make_interpolated_table(collect_results(load_study(writer.finish())))
    assert table.head == ("Method", "80 % (interpolated)")
    assert [row[0] for row in table.cells] == ["Lottery ticket"]
    assert "only inside the measured range" in table.caption


def test_what_was_measured_is_not_interpolated(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    levels = ((1, 0.5), (2, 0.75), (3, 0.9))
    writer.add([make_row("lottery_ticket", s, 1, level=level) for level, s in levels])
    writer.add([make_row("magnitude", 0.75, 1)])
    writer.add([make_row("magnitude", 0.95, 1)])
    assert make_interpolated_table(collect_results(load_study(writer.finish()))).cells == ()


def test_what_is_missing_and_why(tmp_path: Path) -> None:
    methods = ("magnitude", "synflow", "random")
    folder = write_study(tmp_path / "s", methods=methods, sparsities=(0.5, 0.9), gaps=True)
    study = load_study(folder)
    (tmp_path / "s/checkpoints/cifar10-resnet18").mkdir(parents=True)
    table = make_missing_table(study, find_missing_trials(study))
    found = {(line[0], line[2], line[3]): line[4] for line in table.cells}
    assert found == {
        (
            "SynFlow",
            "90",
            "44",
        ): "failed: RuntimeError: CUDA out of memory",
        ("Magnitude", "90", "44"): "not begun",
        ("Random", "50", "44"): "its rows cannot be read",
        ("Dense", "0", "99"): "failed: RuntimeError: CUDA out of memory",
        ("Magnitude", "50", "99"): "not run: the training it starts from failed",
    }
    folder = write_study(tmp_path / "full", seeds=(1,), methods=("magnitude",), sparsities=(0.5,))
    full = load_study(folder)
    assert make_missing_table(full, find_missing_trials(full)).cells == ()


def test_bootstrap_states_its_coverage(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", methods=("magnitude",), sparsities=(0.9,))
    results = collect_results(load_study(folder))
    table, values = make_bootstrap_table(results), results.values
    last = values[values["series_index"] == 1]["value"]
    assert hide_intervals([table.cells[-1][2:3]]) == [("92.88 […]",)]
    assert table.cells[-1][3:] == (
        "[92.26, 93.49]",  # 92.88 ± 0.62, Student's t
        f"[{last.min():.2f}, {last.max():.2f}]",
        "75",
        "3",
    )
    folder = write_study(tmp_path / "o", methods=("magnitude",), seeds=(1,), sparsities=(0.9,))
    one = make_bootstrap_table(collect_results(load_study(folder)))
    assert one.cells[0][3:] == ("–", "–", "–", "1")


def test_costs_are_of_the_device(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    spec = {"name": "s", "resources": {"gpus_per_trial": 0.25}}
    writer.store.write("study.yaml", yaml.safe_dump(spec).encode())
    for seed in (1, 2):
        dense = writer.add([make_row("dense", 0.0, seed, trial_seconds=400.0, train_seconds=300.0)])
        for sparsity in (0.5, 0.9):
            spent = {"trial_seconds": 100.0 * seed, "train_seconds": 60.0 * seed}
            writer.add([make_row("magnitude", sparsity, seed, **spent)], parents=[dense])
        rows = [
            make_row(
                "lottery_ticket", s, seed, level=n, trial_seconds=800.0, train_seconds=300.0 * n
            )
            for n, s in enumerate((0.5, 0.9))
        ]
        writer.add(rows)
    table = make_device_time_table(collect_results(load_study(writer.finish())))
    assert table.head[-1] == "Total (GPU hours)"
    assert table.cells == (
        ("Dense", "2", "75.00", "25.00", "0.00", "0.0556"),
        ("Magnitude", "4", "22.50", "15.00", "100.00", "0.0417"),
        ("Lottery ticket", "2", "75.00", "125.00", "0.00", "0.1111"),
    )


def test_numbers_as_words() -> None:
    assert [format_number(value, 1e-6, 2) for value in (2_223, 77_754, 11_173_962, 0, None)] == [
        "0.00222",
        "0.0778",
        "11.17",
        "0.00",
        "–",
    ]
    assert [format_p(p) for p in (1e-5, 2e-4, 0.0123, 0.5, float("nan"))] == [
        "< 0.0001",
        "0.0002",
        "0.012",
        "0.50",
        "–",
    ]
    assert format_interval(-0.001, -0.5, 0.61, 2, sign=True) == "+0.00 [−0.50, +0.61]"
    assert format_interval(-1.5, None, float("nan"), 2) == "−1.50"
    assert format_interval(float("nan"), 0.0, 1.0, 2) == "–"
    epochs = [[18.0], [24.0, 72.0], [12.0, float("nan")], []]
    assert [format_epochs(values) for values in epochs] == ["18", "24 to 72", "–", "–"]
    assert [format_duration(seconds) for seconds in (0.5, 99, 600, 7200, 4e7)] == [
        "0.5 s",
        "99 s",
        "10 min",
        "2 h",
        "11,111 h",
    ]
