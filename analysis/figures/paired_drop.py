"""The paired drop: what methods lose against the dense network of the same seed, on a scale for
small and large, the same in all panels."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.captions import capitalise, describe_figure, describe_positions, name_figure
from analysis.figures import marks
from analysis.figures.axes import set_axis
from analysis.figures.canvas import (
    LINE,
    Canvas,
    Margins,
    Picture,
    count_lines,
    find_room,
    find_top,
    style,
)
from analysis.figures.panels import FigurePage, PanelGroup, group_into_panels, split_into_pages
from analysis.series import Setting
from analysis.statistics.results import Results

HEIGHT = 1.45
TICKS = (1, 2, 5, 10, 20, 50, 100)
ROUNDING = 1e-9  # of a metric
REMARKS = (
    "lines are mean differences paired by seed, bands their intervals",
    "0 is the dense network",
    "the axis is linear within 1 and logarithmic beyond",
)
COLUMNS = [
    *("series", "method", "knobs", "stage", "sparsity", "sparsity_reached", "place", "level"),
    *("drop", "drop_low", "drop_high", "drop_n", "drop_p"),
]


def draw_drop(results: Results, setting: Setting, kinds: tuple[str, ...]) -> list[Picture]:
    """The figures of a setting, in panels as those of the accuracy; none where no seed has a dense
    network."""
    cells = results.cells_of(setting)
    if cells["drop"].isna().all():
        return []
    groups = group_into_panels(results.list_measured_series(setting))
    remarks = [*REMARKS, *_describe_unpaired(cells), *describe_positions(cells)]
    caption, foot = describe_figure(results, setting, remarks)
    has_shared = any(group.context for group in groups)
    margins = Margins(
        top=find_top(any(group.title for group in groups), shared=has_shared), between=0.3
    )
    least = [
        LINE * (count_lines([series.label for series in group.series]) + 0.5) for group in groups
    ]
    pages = split_into_pages(
        groups,
        [max(HEIGHT, height) for height in least],
        least,
        room=find_room(margins, foot),
        between=margins.between,
    )
    title = (
        f"{capitalise(results.metric.title)}: difference to the dense network of the same seed, "
        f"{setting.label}"
    )
    data = cells[[name for name in COLUMNS if name in cells]].dropna(subset=["drop"])
    pictures = []
    for number, page in enumerate(pages, 1):
        part = f" ({number} of {len(pages)})" if len(pages) > 1 else ""
        name = name_figure("paired-drop", results.metric, setting, str(number) if part else "")
        with style():
            canvas = Canvas(title + part, heights=page.heights, margins=margins, foot=foot)
            _draw_page(canvas, results, setting, page)
            files, size = canvas.save(kinds)
        pictures.append(Picture(name, title + part, caption, data, files, size))
    return pictures


def _describe_unpaired(cells: pd.DataFrame) -> list[str]:
    """A remark on what has too few seeds in common with the dense network."""
    known = cells[cells["drop"].notna()]
    labels = list(dict.fromkeys(known.loc[~known["drop_paired"], "series"]))
    if not labels:
        return []
    who = ", ".join(labels) if len(labels) <= 3 else f"results of {len(labels)} methods"
    return [f"not paired, for want of two seeds in common with it: {who}"]


def _draw_page(canvas: Canvas, results: Results, setting: Setting, page: FigurePage) -> None:
    cells = results.cells_of(setting)
    shown = cells[(cells["n"] > 0) & cells["place"].notna()].dropna(subset=["drop"])
    unit = "points" if results.metric.unit == "%" else results.metric.unit
    shared: list[Line2D] = []
    for row, group in enumerate(page.groups):
        axes = canvas.axes[row][0]
        span = set_axis(axes, cells["place"], label=row == len(page.groups) - 1)
        _set_scale(axes, shown)
        canvas.add_legend(row, _draw_panel(axes, results, setting, group))
        axes.set_xlim(*span)
        axes.set_ylabel(f"difference ({unit})")
        canvas.head(row, group.title)
        entries = marks.list_shared_entries(
            context=bool(group.context), references=bool(group.references)
        )
        shared = entries if len(entries) > len(shared) else shared
    if shared:
        dense = Line2D([], [], label="Dense", **marks.DENSE_STYLE)
        canvas.add_shared_legend([dense, *shared])


def _draw_panel(axes: Axes, results: Results, setting: Setting, group: PanelGroup) -> list[Line2D]:
    axes.axhline(0, zorder=2, **marks.DENSE_STYLE)
    others = [results.measured_cells(setting, series) for series in group.context]
    marks.draw_background(axes, [(1 - cells["place"], cells["drop"]) for cells in others])
    handles = []
    shade = marks.find_shade(len(group.series) - len(group.quiet))
    for series in (*group.references, *group.series):
        cells = results.measured_cells(setting, series).dropna(subset=["drop"])
        thin = series in group.references
        band = None if thin or series in group.quiet else marks.find_band(cells, "drop")
        entry = marks.draw_curve(
            axes, 1 - cells["place"], cells["drop"], band, series, thin=thin, shade=shade
        )
        handles += [] if thin else [entry]
    return handles


def choose_unit(largest: float) -> float:
    """Up to which difference the axis is linear, where the largest is that: 1, or less where all
    are small, as losses in nats may be. Differences that are 0 but for rounding count as 0."""
    return float(10 ** np.floor(np.log10(largest)) / 10) if ROUNDING < largest < 1 else 1.0


def _set_scale(axes: Axes, cells: pd.DataFrame) -> None:
    """A y axis that is linear within the unit and logarithmic beyond, as far as means and most of
    the bands go."""
    unit = choose_unit(float(cells["drop"].abs().max()) if len(cells) else 1.0)
    lower, upper = marks.find_band(cells, "drop")
    low = max(float(lower.fillna(cells["drop"]).min()), 2.0 * min(cells["drop"].min(), -unit))
    high = min(float(upper.fillna(cells["drop"]).max()), 2.0 * max(cells["drop"].max(), unit))
    axes.set_yscale("symlog", linthresh=unit, linscale=0.6)
    ticks = [0.0, *(sign * unit * tick for tick in TICKS for sign in (-1, 1))]
    shown = [tick for tick in ticks if low * 1.1 <= tick <= high * 1.1 or tick == 0]
    axes.yaxis.set_major_locator(FixedLocator(shown))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(marks.format_signed))
    axes.set_ylim(min(low * 1.1, -1.3 * unit), max(high * 1.1, 1.3 * unit))
