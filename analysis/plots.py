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
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from analysis.metrics import Metric
from analysis.series import Series, Setting, find_series, format_sparsity, select
from analysis.stats import LEVEL
from analysis.tables import format_counts

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
DPI = 200


def draw_accuracy(
    rows: pd.DataFrame, cells: pd.DataFrame, metric: Metric, *, setting: Setting, study: str = ""
) -> dict[str, bytes]:
    """The sparsity-accuracy figure of one setting, as bytes of `png` (200 dpi) and `pdf`.

    rows: all rows of the study. cells: `tables.collect` of the whole study (it fixes colours and names over figures).
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # the reader's matplotlibrc shall not change a paper's figures
        matplotlib.rcParams.update(STYLE)
        figure = Figure(figsize=(7.4, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        here, marks = select(cells, setting), select(rows, setting).dropna(subset=[metric.column])
        here = here[here["n"] > 0]
        series = [one for one in find_series(cells) if len(select(here, one))]
        limits = _find_limits(here, marks[metric.column].astype(float), metric)
        span = _set_axis(axes, here["sparsity"])
        axes.set_ylim(*limits)
        others = [one for one in series if one.method != "dense"]
        step = min(SEED_STEP, SEED_SPAN / max(len(others) - 1, 1))
        entries = []
        for one in series:
            if one.method == "dense":
                entries.append(_draw_dense(axes, select(here, one), select(marks, one)[metric.column], one))
            else:
                shift = (others.index(one) - (len(others) - 1) / 2) * step
                entries.append(_draw_series(axes, select(here, one), select(marks, one), metric.column, one, shift))
        axes.set_ylabel(metric.heading)
        axes.set_xlim(*span)
        _explain(axes, here, setting, study, _is_cut(here, limits))
        _add_legend(axes, entries)
        return {
            "png": _save(figure, "png", {"Software": None}),
            "pdf": _save(figure, "pdf", {"CreationDate": None, "Producer": None}),
        }


def _draw_dense(axes: Axes, cells: pd.DataFrame, values: pd.Series, series: Series) -> Line2D:
    """The unpruned network: a dashed line over the whole width, its band, and its seeds at density 1."""
    cell = cells.iloc[0]
    if pd.notna(cell["half_width"]):
        low, high = cell["mean"] - cell["half_width"], cell["mean"] + cell["half_width"]
        axes.axhspan(low, high, color=series.colour, alpha=0.10, linewidth=0, zorder=1)
    axes.axhline(cell["mean"], color=series.colour, linestyle=(0, (6, 3)), linewidth=1.1, zorder=2)
    axes.plot(np.ones(len(values)), values.astype(float), "_", color=series.colour, ms=6, mew=0.9, zorder=4)
    return Line2D([], [], color=series.colour, linestyle=(0, (6, 3)), linewidth=1.1, label=series.label)


def _draw_series(
    axes: Axes, cells: pd.DataFrame, rows: pd.DataFrame, column: str, series: Series, shift: float
) -> Line2D:
    """Means as a line with marks, intervals as a band, seeds as small marks beside their sparsity."""
    cells = cells.sort_values("sparsity")
    x, y, half = 1 - cells["sparsity"], cells["mean"], cells["half_width"]
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
        "linewidth": 1.5,
        "marker": series.marker,
        "markersize": MARKER_SIZES.get(str(series.marker), 5.5),
        "markeredgewidth": 1.0,
        "markeredgecolor": series.colour if hollow else "white",
        "markerfacecolor": "white" if hollow else series.colour,
    }
    axes.plot(x, y, zorder=3, **look)
    rows = rows[rows["sparsity"].round(9).isin(cells.loc[cells["n"] > 1, "sparsity"])]  # one seed is its own mean
    aside = matplotlib.transforms.ScaledTranslation(shift / 72, 0, axes.figure.dpi_scale_trans)
    axes.plot(
        1 - rows["sparsity"].astype(float),
        rows[column].astype(float),
        linestyle="",
        marker=series.marker,
        markersize=2.6,
        markeredgewidth=0,
        color=series.colour,
        alpha=0.75,
        transform=axes.transData + aside,
        zorder=4,
    )
    return Line2D([], [], label=series.label, **look)


def find_ticks(lowest: float) -> list[float]:
    """Densities to label on an axis from 1 down to `lowest`: few enough to be read, at numbers people say."""
    if lowest > 0.28:
        ticks = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    elif lowest >= 0.8e-2:
        ticks = [m * 10.0**-e for e in range(3) for m in (1, 0.5, 0.2)]
    elif lowest >= 0.8e-3:
        ticks = [m * 10.0**-e for e in range(4) for m in (1, 0.5)]
    else:
        ticks = [10.0**-e for e in range(9)]
    return [tick for tick in ticks if tick >= lowest * 0.97]


def _set_axis(axes: Axes, sparsities: pd.Series) -> tuple[float, float]:
    """The x axis: logarithmic in density, dense left and sparse right, labelled by sparsity. Returns its limits."""
    lowest = float(1 - sparsities.max())
    lowest = lowest if 0 < lowest < 0.9 else 0.5
    axes.set_xscale("log")
    ticks = find_ticks(lowest)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(ticks, [f"{format_sparsity(round(1 - tick, 9))} %" for tick in ticks])
    axes.set_xlabel("sparsity (axis logarithmic in density: dense left, sparse right)")
    axes.grid(True, color="0.92", linewidth=0.7)
    axes.set_axisbelow(True)
    margin = lowest ** (-1 / 25)
    return margin, lowest / margin


def _find_limits(cells: pd.DataFrame, values: pd.Series, metric: Metric) -> tuple[float, float]:
    """The y axis: all seeds and means, and bands as far as either side adds no more than that height."""
    low, high = float(values.min()), float(values.max())
    room = max(high - low, 1e-3 * max(abs(high), 1.0))
    half = cells["half_width"].fillna(0.0)
    low = min(low, max(float((cells["mean"] - half).min()), low - room))
    high = max(high, min(float((cells["mean"] + half).max()), high + room))
    margin = 0.05 * max(high - low, room)
    low, high = low - margin, high + margin
    return (max(low, -1.0), min(high, 101.0)) if metric.unit == "%" else (low, high)


def _is_cut(cells: pd.DataFrame, limits: tuple[float, float]) -> bool:
    """Whether a band leaves the axis."""
    half = cells["half_width"].fillna(0.0)
    return bool(((cells["mean"] - half) < limits[0]).any() or ((cells["mean"] + half) > limits[1]).any())


def _explain(axes: Axes, cells: pd.DataFrame, setting: Setting, study: str, cut: bool) -> None:
    """Title and sub-title: data set, model, what line, band and marks are, and n."""
    if (cells["n"] == 1).all():
        parts = ["one seed (n = 1), hence no interval"]
    else:
        parts = [f"line: mean over seeds ({format_counts(cells['n'].tolist())})"]
        parts.append(f"band: {100 * LEVEL:g} % Student t-interval{' (cut at the frame)' if cut else ''}")
        parts += ["no interval where n = 1"] if (cells["n"] == 1).any() else []
        parts.append("small marks: single seeds")
    remarks = textwrap.fill("; ".join(parts), 100)
    title = f"{setting.label}  ·  study {study}" if study else setting.label
    title = textwrap.shorten(title, 90, placeholder=" ...")
    # Below the title, above the frame: the title makes room for the lines of the sub-title.
    axes.annotate(remarks, (0, 1), (0, 5), "axes fraction", "offset points", va="bottom", fontsize=8, color="0.3")
    axes.set_title(title, loc="left", fontsize=10.5, weight="bold", pad=10 + 10 * len(remarks.splitlines()))


def _add_legend(axes: Axes, entries: Sequence[Line2D]) -> None:
    """The legend, right of the data."""
    for entry in entries:
        entry.set_label(textwrap.fill(str(entry.get_label()), 26))
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
    axes.legend(handles=list(entries), frameon=False, handlelength=3.2, fontsize=8.5, **place)


def _save(figure: Figure, kind: str, metadata: dict[str, None]) -> bytes:
    """The figure as a file; without dates, so that equal studies give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
    return buffer.getvalue()
