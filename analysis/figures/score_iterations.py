"""Iterations of an iterative score such as SynFlow's: accuracy, and whether the network stays
connected."""

import json
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.captions import capitalise, describe_figure, name_figure
from analysis.figures.axes import find_limits
from analysis.figures.canvas import Canvas, Margins, Picture, label_y, style
from analysis.figures.marks import find_band, find_shade
from analysis.series import Setting, format_sparsity
from analysis.statistics.results import Results
from trainables.storage.layout import make_file_name

KNOB = "iterations"
HEIGHTS = (2.1, 1.0)
MARKERS = "osD^vP*X"
# Of light to dark: sparsities are an order, so one hue in steps, each with its marker.
SHADES = ("#7FCDBB", "#41B6C4", "#1D91C0", "#225EA8", "#253494", "#081D58")


def draw_iterations(results: Results, setting: Setting, kinds: tuple[str, ...]) -> list[Picture]:
    """One figure for every method of a setting that was run with several numbers of iterations."""
    data = find_iterations(results, setting)
    pictures = []
    for method, found in data.groupby("method", sort=False):
        if found["iterations"].nunique() < 2:
            continue
        label = next(one.label for one in results.series if one.method == method).split(" (")[0]
        title = f"{label}: {results.metric.title} against iterations, {setting.label}"
        remarks = ["lines are means over seeds, bands their intervals"]
        remarks.append(
            "below: the part of the seeds whose network still has a path through kept weights"
        )
        caption, foot = describe_figure(results, setting, remarks)
        with style():
            canvas = Canvas(
                title, heights=HEIGHTS, margins=Margins(top=0.38, between=0.3), foot=foot
            )
            upper, lower = canvas.axes[0][0], canvas.axes[1][0]
            canvas.add_legend(0, _draw_accuracy(upper, results, found), "sparsity")
            _draw_connected(lower, found)
            label_y(upper, results.metric.heading)
            lower.set_ylabel("connected (%)")
            lower.set_xlabel("iterations")
            for axes in (upper, lower):
                _set_axis(axes, sorted(found["iterations"].unique()), named=axes is lower)
            files, size = canvas.save(kinds)
        name = name_figure(f"iterations-{make_file_name(str(method))}", results.metric, setting)
        pictures.append(Picture(name, capitalise(title), caption, found, files, size))
    return pictures


def find_iterations(results: Results, setting: Setting) -> pd.DataFrame:
    """The results by number of iterations, where nothing else is special about the method.

    Columns: `method`, `iterations`, `sparsity`, `mean`, `low`, `high`, `n`, `connected` (fraction
    of the seeds).
    """
    cells = results.cells_of(setting)
    cells = cells[(cells["n"] > 0) & cells["sparsity"].notna()]
    counts = {}
    for method, knobs in (
        cells[["method", "knobs"]].drop_duplicates().itertuples(index=False, name=None)
    ):
        if (count := _find_count(results, method, knobs)) is not None:
            counts[method, knobs] = count
    keys = list(zip(cells["method"], cells["knobs"], strict=True))
    cells = cells[[key in counts for key in keys]]
    cells = cells.assign(
        iterations=[counts[key] for key in zip(cells["method"], cells["knobs"], strict=True)]
    )
    rows = results.rows_of(setting, ["method", "knobs", "sparsity", "connected"])
    rows = rows[rows["method"].isin({method for method, _ in counts})]
    rows = rows.assign(
        sparsity=rows["sparsity"].round(9), connected=rows["connected"].astype(float)
    )
    health = rows.groupby(["method", "knobs", "sparsity"])["connected"].mean().reset_index()
    found = cells.merge(health, on=["method", "knobs", "sparsity"], how="left")
    columns = ["method", "iterations", "sparsity", "mean", "low", "high", "n", "connected"]
    return found.sort_values(["method", "sparsity", "iterations"], ignore_index=True)[columns]


def _find_count(results: Results, method: str, knobs: str) -> int | None:
    """The number of iterations of a setting of knobs, None where the method has none or something
    else differs."""
    try:
        given = json.loads(knobs)
    except ValueError:
        return None
    if not isinstance(given, dict) or set(given) - {KNOB}:
        return None
    defaults = results.study.cards.get(method, {}).get("knobs")
    count = given.get(KNOB, defaults.get(KNOB) if isinstance(defaults, dict) else None)
    return count if isinstance(count, int) else None


def _find_shade_style(number: int, of: int) -> dict[str, Any]:
    colour = SHADES[round(number * (len(SHADES) - 1) / max(of - 1, 1))]
    return {
        "color": colour,
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 4.5,
        "linewidth": 1.2,
    }


def _draw_accuracy(axes: Axes, results: Results, found: pd.DataFrame) -> list[Line2D]:
    handles = []
    sparsities = sorted(found["sparsity"].unique())
    axes.set_ylim(*find_limits(found, found["mean"], results.metric))
    for number, sparsity in enumerate(sparsities):
        here = found[found["sparsity"] == sparsity]
        line_style = _find_shade_style(number, len(sparsities))
        low, high = find_band(here)
        axes.fill_between(
            here["iterations"],
            low,
            high,
            color=line_style["color"],
            alpha=find_shade(4),
            linewidth=0,
        )
        axes.plot(here["iterations"], here["mean"], zorder=3, **line_style)
        handles.append(Line2D([], [], label=f"{format_sparsity(sparsity)} %", **line_style))  # type: ignore[arg-type]
    return handles


def _draw_connected(axes: Axes, found: pd.DataFrame) -> None:
    sparsities = sorted(found["sparsity"].unique())
    for number, sparsity in enumerate(sparsities):
        here = found[found["sparsity"] == sparsity]
        axes.plot(
            here["iterations"],
            100 * here["connected"],
            zorder=3,
            **_find_shade_style(number, len(sparsities)),
        )
    axes.set_ylim(-6, 106)


def _set_axis(axes: Axes, counts: list[int], *, named: bool) -> None:
    axes.set_xscale("log")
    shown = [
        count
        for index, count in enumerate(counts)
        if not index or np.log10(count / counts[index - 1]) > 0.06
    ]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if named else ""))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(True)
