"""The figures of a study, made with matplotlib's object interface and no global state.

Every figure is rendered from the frame of `tables.collect`, so that it shows what the tables say.
"""

import io
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.looks import FAMILIES
from analysis.metrics import Metric
from analysis.scales import find_limits, is_cut, set_axis
from analysis.series import Series, Setting, find_series, select
from analysis.stats import CELL, LEVEL, find_places
from analysis.tables import format_counts
from analysis.views import View, find_views

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,  # text stays text: journals refuse Type 3 fonts
    "svg.hashsalt": "pruning",
}
DASHES: list[Any] = ["-", (0, (5, 1.5, 1, 1.5)), (0, (1, 1.2)), (0, (3, 1, 1, 1, 1, 1))]
SEED_STEP, SEED_SPAN = 3.2, 16.0  # points on paper: between the seed marks of two series, and of all of them
MARKER_SIZES = {"P": 7.5, "X": 7.5, "*": 9.0}  # thin shapes need more room to look as large as the others
LINE = 0.18  # inches that a line of the legend takes
DPI = 200


def draw_accuracy(
    rows: pd.DataFrame, cells: pd.DataFrame, metric: Metric, *, setting: Setting, view: View, study: str = ""
) -> dict[str, bytes]:
    """One sparsity-accuracy figure of a setting, as bytes of `png` (200 dpi) and `pdf`.

    rows: all rows of the study. cells: `tables.collect` of the whole study (it fixes colours and names over figures).
    view: what is in it, see `find_setting_views`. Points stand at `stats.find_places`.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # the reader's matplotlibrc shall not change a paper's figures
        matplotlib.rcParams.update(STYLE)
        figure = Figure(figsize=(7.4, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        whole = _find_points(cells, setting)
        span = set_axis(axes, whole["place"])  # the same in all views
        seeds = select(rows, setting).dropna(subset=[metric.column]).astype({metric.column: float})
        seeds = seeds.assign(sparsity=seeds["sparsity"].round(9)).merge(whole[[*CELL, "place", "n"]], on=CELL)
        points = {one: select(whole, one) for one in view.series}
        marks = {one: select(seeds, one) for one in view.series}
        for one in view.quiet:
            points[one], marks[one] = points[one].assign(half_width=np.nan), marks[one].head(0)
        drawn = pd.concat(points.values())
        limits = find_limits(drawn, pd.concat(marks.values())[metric.column], metric)
        axes.set_ylim(*limits)
        loud = [one for one in view.series if one.method != "dense" and one not in view.quiet]
        step = min(SEED_STEP, SEED_SPAN / max(len(loud) - 1, 1))
        entries = []
        for one in view.series:
            if one.method == "dense":
                entries.append(_draw_dense(axes, points[one], marks[one][metric.column], one))
                continue
            entries.append(_draw_series(axes, points[one], one, thin=one in view.references))
            if one in loud:
                _draw_seeds(axes, marks[one], metric.column, one, (loud.index(one) - (len(loud) - 1) / 2) * step)
        axes.set_ylabel(metric.heading)
        axes.set_xlim(*span)
        _explain(axes, drawn, setting, view, study, cut=is_cut(drawn, limits))
        _add_legend(axes, entries, view)
        return {
            "png": _save(figure, "png", {"Software": None}),
            "pdf": _save(figure, "pdf", {"CreationDate": None, "Producer": None}),
        }


def find_setting_views(cells: pd.DataFrame, setting: Setting) -> list[View]:
    """The pictures of a setting, the one to look at first in front; cells are those of the whole study."""
    points = _find_points(cells, setting)
    return find_views([one for one in find_series(cells) if len(select(points, one))])


def _find_points(cells: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """The measured cells of a setting that have a place on the axis."""
    points = select(cells, setting).assign(place=find_places(cells))
    return points[(points["n"] > 0) & points["place"].notna()]


def _draw_dense(axes: Axes, cells: pd.DataFrame, values: pd.Series, series: Series) -> Line2D:
    """The unpruned network: a dashed line over the whole width, its band, and its seeds at density 1."""
    cell = cells.iloc[0]
    if pd.notna(cell["half_width"]):
        low, high = cell["mean"] - cell["half_width"], cell["mean"] + cell["half_width"]
        axes.axhspan(low, high, color=series.colour, alpha=0.10, linewidth=0, zorder=1)
    axes.axhline(cell["mean"], color=series.colour, linestyle=(0, (6, 3)), linewidth=1.1, zorder=2)
    axes.plot(np.ones(len(values)), values.astype(float), "_", color=series.colour, ms=6, mew=0.9, zorder=4)
    return Line2D([], [], color=series.colour, linestyle=(0, (6, 3)), linewidth=1.1, label=series.label)


def _draw_series(axes: Axes, cells: pd.DataFrame, series: Series, *, thin: bool) -> Line2D:
    """Means as a line with marks, intervals as a band."""
    cells = cells.sort_values("place")
    x, y, half = 1 - cells["place"], cells["mean"], cells["half_width"]
    known = half.notna().to_numpy()
    axes.fill_between(x, y - half, y + half, where=known, color=series.colour, alpha=0.16, linewidth=0, zorder=1)
    neighbours = np.concatenate([[False], known[:-1]]) | np.concatenate([known[1:], [False]])
    alone = known & ~neighbours  # a band needs two points side by side
    if alone.any():
        axes.errorbar(x[alone], y[alone], half[alone], fmt="none", ecolor=series.colour, capsize=3, lw=1, zorder=2)
    dash, hollow = DASHES[series.variant % len(DASHES)], series.variant % 2 == 1
    look: dict[str, Any] = {
        "color": series.colour,
        "linestyle": dash,
        "linewidth": 0.8 if thin else 1.5,
        "marker": series.marker,
        "markersize": (0.6 if thin else 1.0) * MARKER_SIZES.get(str(series.marker), 5.5),
        "markeredgewidth": 1.0,
        "markeredgecolor": series.colour if hollow else "white",
        "markerfacecolor": "white" if hollow else series.colour,
    }
    axes.plot(x, y, zorder=2.5 if thin else 3, **look)
    return Line2D([], [], label=series.label, **look)


def _draw_seeds(axes: Axes, seeds: pd.DataFrame, column: str, series: Series, shift: float) -> None:
    """Single seeds as small marks beside their mean, `shift` points aside."""
    seeds = seeds[seeds["n"] > 1]  # one seed is its own mean
    aside = matplotlib.transforms.ScaledTranslation(shift / 72, 0, axes.figure.dpi_scale_trans)
    axes.plot(
        1 - seeds["place"],
        seeds[column],
        linestyle="",
        marker=series.marker,
        markersize=2.6,
        markeredgewidth=0,
        color=series.colour,
        alpha=0.75,
        transform=axes.transData + aside,
        zorder=4,
    )


def _explain(axes: Axes, cells: pd.DataFrame, setting: Setting, view: View, study: str, *, cut: bool) -> None:
    """Title and sub-title: data set, model, what line, band and marks are, and n."""
    if (cells["n"] == 1).all():
        parts = ["one seed (n = 1), hence no interval"]
    else:
        parts = [f"line: mean over seeds ({format_counts(cells['n'].tolist())})"]
        if view.headings:
            parts.append("intervals and single seeds are in the figures of the families")
        else:
            parts.append(f"band: {100 * LEVEL:g} % Student t-interval{' (cut at the frame)' if cut else ''}")
            parts += ["no interval where n = 1"] if (cells["n"] == 1).any() else []
            parts.append("small marks: single seeds")
            parts += ["both of last stages only"] if view.quiet - view.references else []
    if view.references:
        parts.append(f"thin: {', '.join(one.label for one in view.series if one in view.references)}, for comparison")
    if (cells["sparsity"].isna() | (cells["place"] != cells["sparsity"])).any():
        parts.append("points stand at the sparsity reached where it is not the requested one")
    remarks = textwrap.fill("; ".join(parts), 100)
    title = f"{setting.label}: {view.title}" if view.title else setting.label
    title = textwrap.shorten(f"{title}  ·  study {study}" if study else title, 90, placeholder=" ...")
    # Below the title, above the frame: the title makes room for the lines of the sub-title.
    axes.annotate(remarks, (0, 1), (0, 5), "axes fraction", "offset points", va="bottom", fontsize=8, color="0.3")
    axes.set_title(title, loc="left", fontsize=10.5, weight="bold", pad=10 + 10 * len(remarks.splitlines()))


def _add_legend(axes: Axes, entries: Sequence[Line2D], view: View) -> None:
    """The legend, right of the data; a long one, with headings or not, makes the figure higher."""
    for entry in entries:
        entry.set_label(textwrap.fill(str(entry.get_label()), 26))
    handles = []
    for index, (one, entry) in enumerate(zip(view.series, entries, strict=True)):
        if view.headings and one.family and one.family != view.series[index - 1].family:
            handles.append(Line2D([], [], linestyle="", label=textwrap.fill(FAMILIES[one.family], 26)))
        handles.append(entry)
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
    legend = axes.legend(handles=handles, frameon=False, handlelength=3.2, fontsize=8.5, **place)
    for text, handle in zip(legend.get_texts(), handles, strict=True):
        if handle not in entries:
            text.set(fontsize=8, color="0.35", weight="bold")
    figure = axes.get_figure()
    lines = sum(len(str(handle.get_label()).splitlines()) for handle in handles)
    if isinstance(figure, Figure):
        figure.set_figheight(max(figure.get_figheight(), 0.9 + LINE * lines))


def _save(figure: Figure, kind: str, metadata: dict[str, None]) -> bytes:
    """The figure as a file; without dates, so that equal studies give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
    return buffer.getvalue()
