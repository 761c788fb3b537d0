"""The Pareto front."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis.figures.pareto_front import draw_pareto
from analysis.reading.load import load_study
from analysis.statistics.results import collect_results
from tests.analysis.figures.labels import find_lines
from tests.analysis.synthetic import Writer, make_row, write_study


def test_the_front_is_drawn_over_what_it_beats(tmp_path: Path, kept: list[Figure]) -> None:
    folder = write_study(tmp_path / "s", seeds=(1, 2), sparsities=(0.5, 0.9))
    results = collect_results(load_study(folder))
    (picture,) = draw_pareto(results, results.settings[0], ())
    assert picture.data["front"].any() and not picture.data["front"].all()
    legend = kept[0].axes[0].get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    assert {*picture.data[picture.data["front"]]["series"], "Dense", "Pareto front"} <= set(names)
    black = [line for line in find_lines(kept[0].axes[0], "s") if line.get_color() == "#000000"]
    assert [
        float(np.ravel(line.get_ydata())[0]) for line in black if np.size(line.get_ydata())
    ] == [pytest.approx(float(picture.data.loc[picture.data["method"] == "dense", "mean"].iloc[0]))]


def test_a_network_without_any_cost_is_told_and_not_drawn(
    tmp_path: Path, kept: list[Figure]
) -> None:
    """An emptied network has no effective MACs, which a logarithmic axis cannot show, and is
    always on the front: an axis down to its accuracy would press all others together."""
    writer = Writer(tmp_path / "s", seeds=(1,))
    writer.add([make_row("dense", 0.0, 1, latency_ms_b1=5.0, latency_ms_b256=50.0)])
    for sparsity in (0.5, 0.9):
        times = {"latency_ms_b1": 5 - sparsity, "latency_ms_b256": 50 - sparsity}
        writer.add([make_row("magnitude", sparsity, 1, **times)])
    empty = {"effective_macs": 0.0, "test_top1": 10.0, "latency_ms_b1": 4.9}
    writer.add([make_row("random", 0.99, 1, latency_ms_b256=49.9, **empty)])
    results = collect_results(load_study(writer.finish()))
    (picture,) = draw_pareto(results, results.settings[0], ("svg",))
    assert "1 result without any effective MACs: no place on a logarithmic axis" in picture.caption
    assert (picture.data["cost"] > 0).all()
    assert kept[0].axes[0].get_ylim()[0] > 80
    title = "Test top-1 accuracy against effective MACs and latency, cifar10, resnet18"
    assert picture.title == title  # latency at batch 1 and latency at batch 256: too long a title
