"""Learning curves: of which training, and of which trials."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from analysis.figures.learning_curves import draw_curves, find_curves
from analysis.reading.load import load_study
from analysis.statistics.results import collect_results
from tests.analysis.figures.labels import find_lines
from tests.analysis.synthetic import Writer, make_own_rows, make_row
from tests.analysis.synthetic_details import write_details


def test_curves_are_those_of_the_last_training(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2):
        writer.add([make_row("dense", 0.0, seed)])
        writer.add([make_row("magnitude", 0.9, seed)])
        levels = ((1, 0.5), (2, 0.9))
        writer.add([make_row("lottery_ticket", s, seed, level=level) for level, s in levels])
    write_details(writer.finish(), epochs=5)
    results = collect_results(load_study(tmp_path))
    data, sparsity = find_curves(results, results.settings[0])
    assert data.groupby("series")["epoch"].agg(list).map(list).tolist() == [[1, 2, 3, 4, 5]] * 3
    assert sparsity is not None
    ticket = data[data["series"] == "Lottery ticket"]
    last = results.measured_cells(results.settings[0], results.series[2]).iloc[-1]
    assert ticket["mean"].iloc[-1] == pytest.approx(last["mean"] - 20 / 5)
    assert set(data["split"]) == {"validation"}
    assert (data["n"] == 2).all()


def test_a_method_without_a_value_of_the_metric_has_no_curve(tmp_path: Path) -> None:
    """Random was taken out of the study before the others' latency was measured."""
    writer = Writer(tmp_path)
    writer.add([make_row("magnitude", 0.9, 1, latency_ms_b1=1.0)])
    writer.add([make_row("random", 0.9, 1)], plan=False)
    writer.add([make_row("random", 0.95, 1)], plan=False)
    writer.finish()
    write_details(tmp_path)
    results = collect_results(load_study(tmp_path), "latency_ms_b1")
    data, sparsity = find_curves(results, results.settings[0])
    assert set(data["series"]) == {"Magnitude"} and sparsity == 0.9


def test_learning_curves_are_of_trials_at_that_sparsity(tmp_path: Path, kept: list[Figure]) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2):
        writer.add([make_row("dense", 0.0, seed)])
        writer.add([make_row("magnitude", 0.9, seed)])
        writer.add(make_own_rows("han_iterative", (0.4, 0.7), seed))
        rows = [make_row("lottery_ticket", s, seed, level=n) for n, s in ((1, 0.5), (2, 0.9))]
        writer.add(rows)
    write_details(writer.finish())
    results = collect_results(load_study(tmp_path))
    data, sparsity = find_curves(results, results.settings[0])
    assert sparsity == 0.9
    assert set(data["series"]) == {"Dense", "Magnitude", "Lottery ticket"}
    assert set(data["sparsity"]) == {0.0, 0.9}
    (picture,) = draw_curves(results, results.settings[0], ())
    assert "at 90 %" in picture.title and not find_lines(kept[0].axes[0], "D")
