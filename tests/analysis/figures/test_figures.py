"""Figures: what is drawn, and that no label is cut or hidden. That equal studies give equal files
is seen in `test_fork_pool.py`.

Covers: analysis/figures/accuracy_by_sparsity.py, analysis/figures/canvas.py,
analysis/figures/critical_difference.py, analysis/figures/layer_densities.py,
analysis/figures/learning_curves.py, analysis/figures/marks.py, analysis/figures/paired_drop.py,
analysis/figures/pareto_front.py, analysis/figures/pdf_fonts.py,
analysis/figures/published_comparison.py, analysis/figures/reached_sparsity.py,
analysis/figures/score_iterations.py, analysis/figures/training_cost.py.
"""

import io
import re
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import yaml
from fontTools import subset
from fontTools.ttLib import TTFont
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont as find_font
from matplotlib.image import imread

from analysis.figures.accuracy_by_sparsity import draw_accuracy
from analysis.figures.critical_difference import draw_ranking
from analysis.figures.layer_densities import draw_layers
from analysis.figures.learning_curves import draw_curves, find_curves
from analysis.figures.paired_drop import choose_unit, draw_drop
from analysis.figures.pareto_front import draw_pareto
from analysis.figures.published_comparison import draw_published
from analysis.figures.reached_sparsity import draw_reached
from analysis.figures.score_iterations import draw_iterations
from analysis.figures.training_cost import draw_cost
from analysis.reading.load import load_study
from analysis.report.figures_and_tables import list_drawings
from analysis.statistics.results import Results, collect_results
from tests.analysis.figures.labels import check_labels, find_lines
from tests.analysis.synthetic import Writer, make_own_rows, make_row, write_study
from tests.analysis.synthetic_details import write_details

MANY = ("magnitude", "hrank", "fpgm", "synflow", "snip", "gmp", "rigl", "set", "random", "shuffled")


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


def test_files_of_all_kinds(tmp_path: Path) -> None:
    results = collect_results(
        load_study(write_study(tmp_path / "s", methods=("magnitude",), sparsities=(0.5, 0.9)))
    )
    load_font = subset.load_font
    (picture,) = draw_accuracy(results, results.settings[0], ("png", "pdf", "svg"))
    assert set(picture.files) == {"png", "pdf", "svg"}
    assert picture.files["pdf"].startswith(b"%PDF") and b"CreationDate" not in picture.files["pdf"]
    assert b"/Type3" not in picture.files["pdf"]
    assert b"/ToUnicode" in picture.files["pdf"]  # text can be searched and copied
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", picture.files["pdf"], re.DOTALL)
    plain = [zlib.decompress(one) for one in streams if one.startswith(b"x")]
    fonts = [TTFont(io.BytesIO(one)) for one in plain if one.startswith(b"\0\1\0\0")]
    assert fonts
    for font in fonts:
        assert {"glyf", "hmtx", "loca", "head"} <= set(font.keys())
        assert not {"GSUB", "GPOS", "GDEF"} & set(font.keys())
        # Not the time of writing: the PDFs of equal studies are equal.
        assert font["head"].modified == TTFont(find_font("DejaVu Sans"))["head"].modified
    assert subset.load_font is load_font  # others find it as it was
    assert b"<svg" in picture.files["svg"] and b"<dc:date>" not in picture.files["svg"]
    assert imread(io.BytesIO(picture.files["png"])).shape[1::-1] == picture.size


def test_the_reader_s_own_style_changes_nothing(tmp_path: Path) -> None:
    import matplotlib

    results = collect_results(
        load_study(
            write_study(tmp_path / "s", methods=("magnitude",), seeds=(1,), sparsities=(0.9,))
        )
    )
    plain = draw_accuracy(results, results.settings[0], ("png",))[0].files
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "figure.dpi": 30}):
        assert draw_accuracy(results, results.settings[0], ("png",))[0].files == plain


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
    assert "1 methods reach the requested sparsity" in reached.caption
    axes = kept[1].axes[0]
    assert find_lines(axes, "D")[0].get_ydata() == pytest.approx([2.0])


def test_a_study_that_reaches_what_it_asks_has_no_figure_of_it(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add([make_row("magnitude", 0.5, 1)])
    results = collect_results(load_study(writer.finish()))
    assert draw_reached(results, results.settings[0], ()) == []
    assert "reached" not in draw_accuracy(results, results.settings[0], ())[0].caption


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


def test_an_emptied_layer_is_dashed(tmp_path: Path, kept: list[Figure]) -> None:
    folder = write_study(
        tmp_path / "s", methods=("magnitude", "random"), sparsities=(0.9,), seeds=(1, 2)
    )
    write_details(folder, empty="random")
    results = collect_results(load_study(folder))
    (picture,) = draw_layers(results, results.settings[0], ())
    (axes,) = kept[0].axes
    assert find_lines(axes, "o")[0].get_linestyle() == "-"
    assert find_lines(axes, "X")[0].get_linestyle() == "--"
    random = picture.data[picture.data["series"] == "Random"]
    assert random["density"].tolist() == pytest.approx([0.1**0.5, 0.0, 0.1, 0.1], abs=2e-3)
    assert random["layer"].tolist() == ["conv", "body.0", "body.1", "fc"]


def test_layers_of_a_smaller_network_are_parts_of_the_dense_one(tmp_path: Path) -> None:
    from trainables.storage.parquet_tables import encode_table

    folder = write_study(tmp_path / "s", methods=("l1_filter",), sparsities=(0.75,), seeds=(1,))
    study = load_study(folder)
    for key, weights in zip(study.rows["key"], (1000, 250), strict=True):
        row = {
            "key": key,
            "level": 0 if "dense" in key else 1,
            "stage": "final",
            "layer": "conv.weight",
            "weights": weights,
        }
        study.store.write(
            f"layers/{key}.parquet", encode_table("layers", [row | {"nonzero": weights}])
        )
    results = collect_results(load_study(folder))
    (picture,) = draw_layers(results, results.settings[0], ())
    assert picture.data["density"].tolist() == [0.25]


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


def test_iterations_need_several_counts(tmp_path: Path, kept: list[Figure]) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2):
        for count, connected in ((1, False), (10, seed == 1), (100, True)):
            knobs = f'{{"iterations": {count}}}' if count != 100 else "{}"
            writer.add([make_row("synflow", 0.98, seed, knobs=knobs, connected=connected)])
        writer.add(
            [make_row("synflow", 0.98, seed, knobs='{"iterations": 5, "schedule": "linear"}')]
        )
        writer.add([make_row("magnitude", 0.98, seed)])
    writer.finish()
    results = collect_results(load_study(tmp_path))
    data = draw_iterations(results, results.settings[0], ())[0].data
    assert data["iterations"].tolist() == [1, 10]  # without a card, the default is not known
    writer.cards = {
        "synflow": {"title": "SynFlow", "knobs": {"iterations": 100, "schedule": "exponential"}}
    }
    writer.finish()
    results = collect_results(load_study(tmp_path))
    (picture,) = draw_iterations(results, results.settings[0], ())
    assert picture.data["iterations"].tolist() == [1, 10, 100]
    assert picture.data["connected"].tolist() == [0.0, 0.5, 1.0]
    upper, lower = kept[-1].axes
    assert lower.lines[0].get_ydata().tolist() == [0.0, 50.0, 100.0]
    assert upper.get_xscale() == lower.get_xscale() == "log"
    check_labels(kept[-1])


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


def test_cost_has_bars_and_sums(tmp_path: Path, kept: list[Figure]) -> None:
    writer = Writer(tmp_path)
    dense = writer.add([make_row("dense", 0.0, 1, trial_seconds=100.0)])
    writer.add([make_row("magnitude", 0.5, 1, trial_seconds=50.0)], parents=[dense])
    writer.add([make_row("magnitude", 0.9, 1, trial_seconds=70.0)], parents=[dense])
    results = collect_results(load_study(writer.finish()))
    (picture,) = draw_cost(results, results.settings[0], ())
    assert picture.data[["seconds", "shared", "total"]].to_numpy().tolist() == [
        [100.0, 0.0, 100.0],
        [60.0, 100.0, 120.0],
    ]
    widths = [patch.get_width() for patch in kept[0].axes[0].patches]  # type: ignore[attr-defined]
    assert widths == [100.0, 0.0, 60.0, 100.0]
    assert (
        draw_cost(
            collect_results(load_study(write_study(tmp_path / "untimed"))), results.settings[0], ()
        )
        == []
    )


def test_published_beside_ours(everything: Results, kept: list[Figure]) -> None:
    (picture,) = draw_published(everything, ())
    assert picture.data["value"].tolist() == [93.0]
    xs = [float(np.ravel(line.get_xdata())[0]) for line in kept[0].axes[0].lines]
    assert 93.0 in xs and pytest.approx(float(picture.data["mean"].iloc[0])) in xs


def test_the_spread_of_a_published_number_is_drawn(tmp_path: Path, kept: list[Figure]) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2):
        writer.add([make_row("magnitude", 0.5, seed, test_top1=91.0 + seed)])
    entry = {"dataset": "cifar10", "model": "resnet18", "method": "magnitude", "sparsity": 0.5}
    entry |= {"value": 93.0, "spread": 0.5, "spread_is": "half range", "source": "A 2020"}
    writer.store.write("study.yaml", yaml.safe_dump({"name": "s", "published": [entry]}).encode())
    (picture,) = draw_published(collect_results(load_study(writer.finish())), ())
    assert "spread of the source" in picture.caption
    bars = [segment for of in kept[0].axes[0].collections for segment in of.get_segments()]  # type: ignore[attr-defined]
    assert [[92.5, 0.0], [93.5, 0.0]] in [segment.tolist() for segment in bars]


def test_ranks_have_a_diagram_over_three_settings(tmp_path: Path, kept: list[Figure]) -> None:
    writer = Writer(tmp_path)
    for model in ("mlp", "vgg16", "resnet20", "resnet56"):
        for method in MANY:
            writer.add([make_row(method, 0.98, 1, model=model)])
    (picture,) = draw_ranking(collect_results(load_study(writer.finish())), ())
    assert picture.name == "ranks-98"
    assert picture.data["method"].iloc[-1] == "Random"
    assert "critical difference" in picture.caption
    check_labels(kept[0])


def test_importing_needs_neither_torch_nor_ray_nor_pyplot() -> None:
    modules = (
        "analysis.__main__, analysis.report.study_report, analysis.report.comparison_page, "
        "analysis.report.keep_current"
    )
    code = (
        f"import {modules}, sys; print(sorted({{'torch', 'ray', 'matplotlib.pyplot'}} & "
        "set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("largest", "unit"), [(0.0, 1.0), (5e-324, 1.0), (1e-14, 1.0), (0.03, 0.001), (7.0, 1.0)]
)
def test_where_nothing_differs_from_dense_the_axis_has_a_unit_all_the_same(
    largest: float, unit: float
) -> None:
    assert choose_unit(largest) == pytest.approx(unit)
    assert choose_unit(float("nan")) == 1.0
