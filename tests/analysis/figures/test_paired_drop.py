"""The drop of accuracy, paired by seed."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from analysis.figures.paired_drop import choose_unit, draw_drop
from analysis.reading.load import load_study
from analysis.statistics.results import collect_results
from tests.analysis.figures.labels import find_lines
from tests.analysis.synthetic import Writer, make_row


def test_the_drop_is_paired(tmp_path: Path, kept: list[Figure]) -> None:
    writer = Writer(tmp_path)
    for seed, (dense, pruned) in enumerate(((94.0, 93.0), (96.0, 94.0), (91.0, 91.5))):
        writer.add([make_row("dense", 0.0, seed, test_top1=dense)])
        writer.add([make_row("magnitude", 0.9, seed, test_top1=pruned)])
    results = collect_results(load_study(writer.finish()))
    (picture,) = draw_drop(results, results.settings[0], ())
    (line,) = find_lines(kept[0].axes[0], "o")
    assert line.get_ydata() == pytest.approx([-2.5 / 3])
    assert picture.data["drop"].tolist() == pytest.approx([-2.5 / 3])
    alone = Writer(tmp_path / "alone")
    alone.add([make_row("magnitude", 0.9, 1)])
    lone = collect_results(load_study(alone.finish()))
    assert draw_drop(lone, lone.settings[0], ()) == []


def test_a_drop_that_is_not_paired_is_named(tmp_path: Path) -> None:
    """SNIP has other seeds than the dense network."""
    writer = Writer(tmp_path)
    for seed in (1, 2):
        writer.add([make_row("dense", 0.0, seed)])
        writer.add([make_row("magnitude", 0.9, seed)])
        writer.add([make_row("snip", 0.9, seed + 5)])
    results = collect_results(load_study(writer.finish()))
    (picture,) = draw_drop(results, results.settings[0], ())
    told = "not paired, for want of two seeds in common with it: SNIP;"
    assert told in picture.caption.replace("Not", "not")


@pytest.mark.parametrize(
    ("largest", "unit"), [(0.0, 1.0), (5e-324, 1.0), (1e-14, 1.0), (0.03, 0.001), (7.0, 1.0)]
)
def test_where_nothing_differs_from_dense_the_axis_has_a_unit_all_the_same(
    largest: float, unit: float
) -> None:
    assert choose_unit(largest) == pytest.approx(unit)
    assert choose_unit(float("nan")) == 1.0
