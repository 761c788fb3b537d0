"""What is drawn in the figure of accuracies: lines, bands, seeds, the dense network.

Covers: analysis/figures/marks.py.
"""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from analysis.figures.accuracy_by_sparsity import draw_accuracy
from analysis.figures.marks import SEED_SIZE
from analysis.reading.load import load_study
from analysis.statistics.results import collect_results
from tests.analysis.figures.labels import find_lines
from tests.analysis.synthetic import Writer, make_row, write_study


def test_lines_bands_seeds_cross_hair_and_floor(tmp_path: Path, kept: list[Figure]) -> None:
    results = collect_results(
        load_study(
            write_study(
                tmp_path / "s", methods=("magnitude", "random"), sparsities=(0.5, 0.9, 0.99)
            )
        )
    )
    draw_accuracy(results, results.settings[0], ())
    whole, zoom = kept[0].axes
    (mean, seeds) = find_lines(whole, "o")
    assert mean.get_xdata() == pytest.approx([0.5, 0.1, 0.01])
    cells = results.measured_cells(results.settings[0], results.series[1])
    assert mean.get_ydata() == pytest.approx(cells["mean"].tolist())
    assert np.size(seeds.get_xdata()) == 9
    assert np.size(find_lines(whole, "_")[0].get_xdata()) == 3
    dense = results.find_dense(results.settings[0])
    assert dense is not None
    flat = [line for line in whole.lines if list(line.get_ydata()) == [dense["mean"]] * 2]
    upright = [line for line in whole.lines if list(line.get_xdata()) == [1.0, 1.0]]
    assert flat and upright
    assert len([band for band in whole.collections if isinstance(band, PolyCollection)]) >= 2
    assert zoom.get_ylim()[0] == pytest.approx(dense["mean"] - 5)
    assert zoom.get_xlim() == whole.get_xlim()


def test_one_seed_has_no_band_and_no_marks(tmp_path: Path, kept: list[Figure]) -> None:
    results = collect_results(
        load_study(
            write_study(tmp_path / "s", methods=("magnitude",), seeds=(1,), sparsities=(0.5, 0.6))
        )
    )
    (picture,) = draw_accuracy(results, results.settings[0], ())
    (axes,) = kept[0].axes
    assert sum(len(band.get_paths()) for band in axes.collections) == 0
    assert len(find_lines(axes, "o")) == 1
    assert "No interval where n = 1" in picture.caption and "n = 1" in picture.caption


def test_a_lonely_interval_is_drawn(tmp_path: Path, kept: list[Figure]) -> None:
    results = collect_results(
        load_study(write_study(tmp_path / "s", methods=("magnitude",), sparsities=(0.9,)))
    )
    draw_accuracy(results, results.settings[0], ())
    assert len(kept[0].axes[0].containers) == 1


def test_no_seed_is_cut_by_the_frame(tmp_path: Path, kept: list[Figure]) -> None:
    """Those of the fifth method stand nine points right of its mean."""
    methods = ("magnitude", "synflow", "snip", "grasp", "random")
    results = collect_results(
        load_study(write_study(tmp_path / "s", methods=methods, sparsities=(0.5, 0.98)))
    )
    draw_accuracy(results, results.settings[0], ())
    for axes in kept[0].axes:
        frame = axes.get_window_extent()
        seeds = [line for line in axes.lines if line.get_markersize() == SEED_SIZE]
        assert len(seeds) == len(methods)
        for line in seeds:
            places = line.get_transform().transform(line.get_xydata())[:, 0]
            assert places.min() > frame.x0 and places.max() < frame.x1


def test_an_infinite_loss_leaves_the_others_readable(tmp_path: Path, kept: list[Figure]) -> None:
    writer = Writer(tmp_path / "s", seeds=(1, 2))
    for seed in (1, 2):
        writer.add([make_row("dense", 0.0, seed)])
        for sparsity in (0.5, 0.9, 0.98):
            lost = {"test_loss": float("inf")} if (sparsity, seed) == (0.98, 2) else {}
            writer.add([make_row("magnitude", sparsity, seed, **lost)])
    results = collect_results(load_study(writer.finish()), "test_loss")
    (picture,) = draw_accuracy(results, results.settings[0], ("svg",))
    assert "1 infinite result lies outside the frame" in picture.caption
    low, high = kept[0].axes[0].get_ylim()
    finite = results.values["value"][np.isfinite(results.values["value"])]
    assert low < finite.min() and finite.max() < high < finite.max() + 1


def test_all_seeds_lie_inside_the_frame(tmp_path: Path, kept: list[Figure]) -> None:
    results = collect_results(
        load_study(
            write_study(
                tmp_path / "s",
                methods=("magnitude", "random"),
                seeds=(1, 2),
                sparsities=(0.5, 0.99),
            )
        )
    )
    draw_accuracy(results, results.settings[0], ())
    whole = kept[0].axes[0]
    low, high = whole.get_ylim()
    for line in whole.lines:
        if line.get_transform() == whole.transData:
            values = np.asarray(line.get_ydata(), dtype=float)
            assert ((values >= low) & (values <= high)).all()
