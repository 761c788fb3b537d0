"""Every figure has something in it, and no label is cut or hidden. That equal studies give equal
files is seen in `test_fork_pool.py`."""

from pathlib import Path

import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from analysis.figures.accuracy_by_sparsity import draw_accuracy
from analysis.figures.layer_densities import draw_layers
from analysis.figures.learning_curves import draw_curves
from analysis.figures.paired_drop import draw_drop
from analysis.reading.load import load_study
from analysis.report.figures_and_tables import list_drawings
from analysis.statistics.results import Results, collect_results
from tests.analysis.figures.labels import MANY, check_labels
from tests.analysis.synthetic import Writer, make_row, write_study
from tests.analysis.synthetic_details import write_details


def test_every_figure_has_something_in_it_and_nothing_cut(
    everything: Results, kept: list[Figure]
) -> None:
    pictures = [picture for draw in list_drawings(everything, ("csv",)) for picture in draw()]
    kinds = {picture.name.split("-cifar10")[0] for picture in pictures}
    assert kinds == {
        "sparsity-accuracy",
        "controls",
        "paired-drop",
        "compression",
        "pareto",
        "iterations-snip",
        "layer-densities",
        "sparsity-reached",
        "learning-curves",
        "cost",
        "training-epochs",
        "published",
    }
    assert len(kept) == len(pictures)
    for figure, picture in zip(kept, pictures, strict=True):
        check_labels(figure)
        assert len(picture.data), picture.name
        for axes in figure.axes:
            assert axes.lines or axes.patches or axes.collections, picture.name
        assert "cifar10, resnet18" in picture.caption and "n = 3" in picture.caption
        assert "commit 5b85ed8" in picture.caption


def test_many_methods_share_figures_without_crowding(tmp_path: Path, kept: list[Figure]) -> None:
    """In the figure of accuracies, random pruning is the floor where it is not the subject."""
    folder = write_study(tmp_path / "s", methods=MANY, seeds=(1, 2), sparsities=(0.5, 0.98))
    write_details(folder)
    results = collect_results(load_study(folder))
    for draw in (draw_accuracy, draw_layers, draw_curves):
        draw(results, results.settings[0], ())
    assert len(kept) == 3
    for figure in kept:
        check_labels(figure)
    shaded = [
        any(
            isinstance(band, PolyCollection) and band.get_zorder() == 0.5
            for band in axes.collections
        )
        for axes in kept[0].axes[::2]
    ]
    assert shaded == [True, True, True, False]
    (shared,) = kept[0].legends
    names = [text.get_text() for text in shared.get_texts()]
    assert "Random pruning (grey area below)" in names and "methods of the other panels" in names


def test_a_long_label_of_an_axis_takes_two_lines(tmp_path: Path, kept: list[Figure]) -> None:
    writer = Writer(tmp_path / "s")
    for seed in (1, 2):
        writer.add([make_row("dense", 0.0, seed, early_stop_test_top1=97.6 + 0.1 * seed)])
        writer.add([make_row("magnitude", 0.5, seed, early_stop_test_top1=98.2 + 0.1 * seed)])
    study = load_study(writer.finish())
    for metric in ("early_stop_test_top1", "test_top1"):
        results = collect_results(study, metric)
        draw_accuracy(results, results.settings[0], ())
    for figure in kept:
        check_labels(figure)
    labels = [figure.axes[0].get_ylabel() for figure in kept]
    assert labels == [
        "test top-1 accuracy at early\nstopping (%)",
        "test top-1 accuracy (%)",
    ]


@pytest.mark.parametrize(
    "sparsities",
    [
        (0.1,),
        pytest.param((0.2, 0.6), marks=pytest.mark.slow),
        (0.5, 0.9, 0.99),
        pytest.param((0.5, 0.999), marks=pytest.mark.slow),
        (0.9999,),
    ],
)
def test_no_label_is_cut_or_hidden(
    tmp_path: Path, kept: list[Figure], sparsities: tuple[float, ...]
) -> None:
    methods = ("magnitude", "a_method_with_quite_a_long_name_of_its_own")
    results = collect_results(
        load_study(
            write_study(tmp_path / "s", methods=methods, sparsities=sparsities, seeds=(1, 2))
        )
    )
    for draw in (draw_accuracy, draw_drop):
        draw(results, results.settings[0], ())
    for figure in kept:
        check_labels(figure)
