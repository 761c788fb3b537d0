"""The paired drop: what methods lose against the dense network of the same seed, on a scale for
small and large."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.captions import capitalise, describe_figure, describe_positions, name_figure
from analysis.figures import marks
from analysis.figures.axes import set_axis
from analysis.figures.canvas import LINE, Canvas, Margins, Picture, count_lines, find_top, style
from analysis.figures.panels import View, find_pages, find_views
from analysis.series import Setting
from analysis.statistics.results import Results

HEIGHT = 1.45
TICKS = (1, 2, 5, 10, 20, 50, 100)


def draw_drop(results: Results, setting: Setting, kinds: tuple[str, ...]) -> list[Picture]:
    """The figures of a setting, in panels as those of the accuracy; none where no seed has a dense
    network."""
    cells = results.cells_of(setting)
    if cells["drop"].isna().all():
        return []
    pages = find_pages(find_views(results.list_measured_series(setting)))
    title = f"{capitalise(results.metric.title)}: difference to the dense network of the same seed, {setting.label}"
    columns = [
        "series",
        "method",
        "knobs",
        "stage",
        "sparsity",
        "sparsity_reached",
        "place",
        "level",
    ]
    data = cells[[*columns, "drop", "drop_half_width", "drop_n", "drop_p"]].dropna(subset=["drop"])
    pictures = []
    for number, views in enumerate(pages):
        part = f" ({number + 1} of {len(pages)})" if len(pages) > 1 else ""
        name = name_figure("paired-drop", results.metric, setting, str(number + 1) if part else "")
        remarks = [
            "lines are mean differences paired by seed, bands their intervals",
            "0 is the dense network",
        ]
        remarks.append("the axis is linear within 1 and logarithmic beyond")
        remarks += describe_positions(cells)
        caption, foot = describe_figure(results, setting, remarks)
        with style():
            counts = [
                count_lines([one.label for one in (*view.series, *view.references)]) + 2
                for view in views
            ]
            margins = Margins(top=find_top(any(view.title for view in views)))
            heights = [max(HEIGHT, LINE * count) for count in counts]
            canvas = Canvas(title + part, heights=heights, margins=margins, foot=foot)
            for row, view in enumerate(views):
                axes = canvas.axes[row][0]
                span = set_axis(axes, cells["place"], label=row == len(views) - 1)
                canvas.add_legend(row, _draw_panel(axes, results, setting, view))
                axes.set_xlim(*span)
                axes.set_ylabel(
                    f"difference ({'points' if results.metric.unit == '%' else results.metric.unit})"
                )
                canvas.head(row, view.title)
            files, size = canvas.save(kinds)
        pictures.append(Picture(name, title + part, caption, data, files, size))
    return pictures


def _draw_panel(axes: Axes, results: Results, setting: Setting, view: View) -> list[Line2D]:
    drawn = [
        results.measured_cells(setting, one).dropna(subset=["drop"])
        for one in (*view.references, *view.series)
    ]
    _set_scale(axes, pd.concat(drawn))
    axes.axhline(0, color="black", linestyle=(0, (6, 3)), linewidth=0.9, zorder=2)
    for one in view.context:
        cells = results.measured_cells(setting, one)
        marks.draw_background(axes, 1 - cells["place"], cells["drop"])
    handles = []
    shade = marks.find_shade(len(view.series) - len(view.quiet))
    for one, cells in zip((*view.references, *view.series), drawn, strict=True):
        thin = one in view.references
        half = None if thin or one in view.quiet else cells["drop_half_width"]
        handles.append(
            marks.draw_course(
                axes, 1 - cells["place"], cells["drop"], half, one, thin=thin, shade=shade
            )
        )
    if view.context:
        handles.append(
            Line2D([], [], color=marks.BACKGROUND, linewidth=0.7, label="the other methods")
        )
    return handles


def _set_scale(axes: Axes, cells: pd.DataFrame) -> None:
    """A y axis that is linear within the unit and logarithmic beyond, as far as means and most of
    the bands go."""
    largest = float(cells["drop"].abs().max()) if len(cells) else 1.0
    unit = (
        10 ** np.floor(np.log10(largest)) / 10 if largest < 1 else 1.0
    )  # losses in nats are small numbers
    half = cells["drop_half_width"].fillna(0.0)
    low = max(float((cells["drop"] - half).min()), 2.0 * min(float(cells["drop"].min()), -unit))
    high = min(float((cells["drop"] + half).max()), 2.0 * max(float(cells["drop"].max()), unit))
    axes.set_yscale("symlog", linthresh=unit, linscale=0.6)
    ticks = [0.0, *(sign * unit * tick for tick in TICKS for sign in (-1, 1))]
    axes.yaxis.set_major_locator(
        FixedLocator([tick for tick in ticks if low * 1.1 <= tick <= high * 1.1 or tick == 0])
    )
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(marks.format_signed))
    axes.set_ylim(min(low * 1.1, -1.3 * unit), max(high * 1.1, 1.3 * unit))
