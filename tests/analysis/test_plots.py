"""Figures: what is drawn, where the labels lie, and that equal studies give equal files."""

import io
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from synthetic import Writer, make_own_rows, make_row, write_study

import analysis.plots
from analysis.load import load
from analysis.metrics import find_metric
from analysis.plots import draw_accuracy, find_setting_views
from analysis.scales import find_ticks
from analysis.series import find_settings
from analysis.tables import collect


def draw(folder: Path, monkeypatch: pytest.MonkeyPatch, **columns: Any) -> tuple[dict[str, bytes], Figure]:
    """The files of a made-up study's figure, and the figure they were saved from."""
    figures: list[Figure] = []
    save = analysis.plots._save

    def keep(figure: Figure, kind: str, metadata: dict[str, None]) -> bytes:
        figures.append(figure)
        return save(figure, kind, metadata)

    monkeypatch.setattr(analysis.plots, "_save", keep)
    study = load(write_study(folder, **columns))
    metric = find_metric("test_top1", study.rows)
    cells = collect(study.rows, metric, plan=study.plan)
    (setting,) = find_settings(cells)
    (view,) = find_setting_views(cells, setting)
    return draw_accuracy(study.rows, cells, metric, setting=setting, view=view, study=study.name), figures[0]


def find_legend(axes: Axes) -> Legend:
    legend = axes.get_legend()
    assert legend is not None
    return legend


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, _ = draw(tmp_path / "s", monkeypatch, methods=("magnitude",))
    assert set(files) == {"png", "pdf"}
    assert files["pdf"].startswith(b"%PDF")
    assert b"CreationDate" not in files["pdf"]
    picture = imread(io.BytesIO(files["png"]))
    assert picture.shape[:2] == (920, 1480)


def test_equal_studies_give_equal_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = draw(tmp_path / "a", monkeypatch, methods=("magnitude", "random"))
    second, _ = draw(tmp_path / "b", monkeypatch, methods=("magnitude", "random"))
    assert first == second


def test_lines_bands_and_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, figure = draw(tmp_path / "s", monkeypatch, methods=("magnitude",), sparsities=(0.5, 0.9))
    (axes,) = figure.axes
    means = [line for line in axes.lines if line.get_linestyle() == "-" and line.get_marker() == "o"]
    (line,) = means
    assert line.get_xdata() == pytest.approx([0.5, 0.1])
    (seeds,) = [line for line in axes.lines if line.get_linestyle() == "None" and line.get_marker() == "o"]
    assert np.size(seeds.get_xdata()) == 6
    (dense_seeds,) = [line for line in axes.lines if line.get_marker() == "_"]
    assert np.size(dense_seeds.get_xdata()) == 3
    bands = [found for found in axes.collections if isinstance(found, PolyCollection)]
    assert len(bands) == 1
    assert [text.get_text() for text in find_legend(axes).get_texts()] == ["Dense", "Magnitude"]


def test_one_seed_has_no_band(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, figure = draw(tmp_path / "s", monkeypatch, methods=("magnitude",), seeds=(1,))
    (axes,) = figure.axes
    assert sum(len(band.get_paths()) for band in axes.collections) == 0
    assert not axes.patches
    assert any("no interval" in text.get_text() for text in axes.texts)


def test_a_lonely_interval_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, figure = draw(tmp_path / "s", monkeypatch, methods=("magnitude",), sparsities=(0.9,))
    (axes,) = figure.axes
    assert len(axes.containers) == 1


@pytest.mark.parametrize("methods", [("magnitude",), ("lottery_ticket", "a_method_with_quite_a_long_name_of_its_own")])
@pytest.mark.parametrize("sparsities", [(0.1,), (0.2, 0.6), (0.5, 0.9, 0.99), (0.5, 0.999), (0.9999,)])
def test_no_label_is_cut_or_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, methods: tuple[str, ...], sparsities: tuple[float, ...]
) -> None:
    _, figure = draw(tmp_path / "s", monkeypatch, methods=methods, sparsities=sparsities)
    (axes,) = figure.axes
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    figure.set_dpi(100)
    figure.draw(renderer)
    ticks = [label.get_window_extent(renderer) for label in axes.get_xticklabels() if label.get_text()]
    assert len(ticks) >= 2
    assert all(left.x1 + 2 < right.x0 for left, right in pairwise(ticks))
    legend = find_legend(axes).get_window_extent(renderer)
    assert legend.x0 > axes.get_window_extent(renderer).x1
    boxes = [*ticks, legend, axes.xaxis.label.get_window_extent(renderer), axes.yaxis.label.get_window_extent(renderer)]
    boxes += [text.get_window_extent(renderer) for text in (*axes.texts, axes._left_title)]  # type: ignore[attr-defined]
    for box in boxes:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
    subtitle = axes.texts[0].get_window_extent(renderer)
    assert subtitle.y1 <= axes._left_title.get_window_extent(renderer).y0 + 1  # type: ignore[attr-defined]


def test_all_seeds_lie_inside_the_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, figure = draw(tmp_path / "s", monkeypatch, seeds=(1, 2))
    (axes,) = figure.axes
    low, high = axes.get_ylim()
    for line in axes.lines:
        values = np.asarray(line.get_ydata(), dtype=float)
        assert ((values >= low) & (values <= high)).all()


def find_seeds(axes: Axes) -> list[Line2D]:
    """The small marks of single seeds, per series."""
    return [line for line in axes.lines if line.get_linestyle() == "None" and line.get_markersize() < 3]


def draw_writer(writer: Writer, view: int) -> None:
    """One of the pictures of a study written by hand."""
    study = load(writer.finish())
    metric = find_metric("test_top1", study.rows)
    cells = collect(study.rows, metric, plan=study.plan)
    (setting,) = find_settings(cells)
    shown = find_setting_views(cells, setting)[view]
    draw_accuracy(study.rows, cells, metric, setting=setting, view=shown, study=study.name)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved."""
    figures: list[Figure] = []

    def keep(figure: Figure, kind: str, metadata: dict[str, None]) -> bytes:
        figures.append(figure)
        return b""

    monkeypatch.setattr(analysis.plots, "_save", keep)
    return figures


def test_points_stand_where_the_network_is(tmp_path: Path, kept: list[Figure]) -> None:
    writer = Writer(tmp_path)
    for seed, off in ((1, 0.0), (2, 0.02)):
        writer.add([make_row("l1_filter", 0.5, seed, sparsity_reached=0.51 + off)])
        writer.add([make_row("magnitude", 0.5, seed)])
        writer.add(make_own_rows("han_iterative", (0.4 + off, 0.7 + off), seed))
    draw_writer(writer, 0)
    (axes,) = kept[0].axes
    lines = [line for line in axes.lines if line.get_linestyle() == "-"]
    places = [np.asarray(line.get_xdata(), dtype=float).tolist() for line in lines]
    assert places == [pytest.approx([0.5]), pytest.approx([0.59, 0.29]), pytest.approx([0.48])]
    assert [np.size(line.get_ydata()) for line in find_seeds(axes)] == [2, 4, 2]
    assert "points stand at the sparsity reached" in " ".join(axes.texts[0].get_text().split())


def test_a_study_that_reaches_what_it_asks_says_nothing_of_it(tmp_path: Path, kept: list[Figure]) -> None:
    writer = Writer(tmp_path)
    writer.add([make_row("magnitude", 0.5, 1)])
    draw_writer(writer, 0)
    assert "reached" not in kept[0].axes[0].texts[0].get_text()


def test_overview_is_plain_and_families_are_not(tmp_path: Path, kept: list[Figure]) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2):
        writer.add([make_row("dense", 0.0, seed)])
        for sparsity in (0.5, 0.9):
            for method in ("magnitude", "hrank", "fpgm", "synflow", "snip", "random"):
                writer.add([make_row(method, sparsity, seed)])
            writer.add(
                [make_row("wanda", sparsity, seed, stage=stage) for stage in ("raw", "recalibrated", "finetuned")]
            )
    draw_writer(writer, 0)
    draw_writer(writer, 3)
    overview, family = kept[0].axes[0], kept[2].axes[0]
    assert sum(len(band.get_paths()) for band in overview.collections) == 0
    assert not find_seeds(overview)
    names = [text.get_text() for text in find_legend(overview).get_texts()]
    assert [name for name in names if name.startswith("Wanda")] == ["Wanda (finetuned)"]
    assert names[:2] == ["Dense", "Unstructured, after\ntraining"]
    names = [text.get_text() for text in find_legend(family).get_texts()]
    assert names == ["Dense", "Magnitude", "Wanda (raw)", "Wanda (recalibrated)", "Wanda (finetuned)"]
    assert sum(bool(band.get_paths()) for band in family.collections) == 3
    assert min(line.get_linewidth() for line in family.lines if line.get_marker() == "o") < 1
    assert [np.size(line.get_ydata()) for line in find_seeds(family)] == [4, 4, 4]
    assert overview.get_xlim() == family.get_xlim()


@pytest.mark.parametrize("lowest", [0.9, 0.5, 0.3, 0.1, 0.01, 1e-3, 1e-5])
def test_ticks_are_few_and_in_range(lowest: float) -> None:
    ticks = find_ticks(lowest)
    assert ticks[0] == 1
    assert 2 <= len(ticks) <= 9
    assert ticks == sorted(ticks, reverse=True)
    assert ticks[-1] >= lowest * 0.97


def test_importing_needs_neither_torch_nor_ray_nor_pyplot() -> None:
    modules = "analysis.__main__, analysis.report, analysis.plots, analysis.gaps"
    code = f"import {modules}, sys; print(sorted({{'torch', 'ray', 'matplotlib.pyplot'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
