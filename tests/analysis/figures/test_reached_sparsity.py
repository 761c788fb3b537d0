"""Sparsities that methods reach instead of those requested: where points stand, and their own
figure."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis.figures.accuracy_by_sparsity import draw_accuracy
from analysis.figures.reached_sparsity import draw_reached
from analysis.reading.load import load_study
from analysis.statistics.results import collect_results
from tests.analysis.figures.labels import find_lines
from tests.analysis.synthetic import Writer, make_own_rows, make_row


def test_points_stand_where_the_network_is(tmp_path: Path, kept: list[Figure]) -> None:
    writer = Writer(tmp_path)
    for seed, off in ((1, 0.0), (2, 0.02)):
        writer.add([make_row("l1_filter", 0.5, seed, sparsity_reached=0.51 + off)])
        writer.add([make_row("magnitude", 0.5, seed)])
        writer.add(make_own_rows("han_iterative", (0.4 + off, 0.7 + off), seed))
    results = collect_results(load_study(writer.finish()))
    (picture,) = draw_accuracy(results, results.settings[0], ())
    lines = [line for line in kept[0].axes[0].lines if line.get_linestyle() == "-"]
    places = [np.asarray(line.get_xdata(), dtype=float).tolist() for line in lines]
    assert places == [pytest.approx([0.5]), pytest.approx([0.59, 0.29]), pytest.approx([0.48])]
    assert "points stand at the sparsity reached" in picture.caption
    (reached,) = draw_reached(results, results.settings[0], ())
    assert "1 method reaches the requested sparsity" in reached.caption
    axes = kept[1].axes[0]
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    assert "50 %" in ticks and "52 %" not in ticks  # the axis is that of requested sparsities
    assert find_lines(axes, "D")[0].get_ydata() == pytest.approx([2.0])


def test_a_study_that_reaches_what_it_asks_has_no_figure_of_it(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add([make_row("magnitude", 0.5, 1)])
    results = collect_results(load_study(writer.finish()))
    assert draw_reached(results, results.settings[0], ()) == []
    assert "reached" not in draw_accuracy(results, results.settings[0], ())[0].caption
