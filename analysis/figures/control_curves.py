"""Every method beside its own controls, a panel for each: what is left of its result when one of
its ingredients is taken away, as Frankle et al. 2021 (arXiv 2009.08576) show it."""

import math
import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.captions import capitalise, describe_figure, name_figure, remark_outside
from analysis.figures import marks
from analysis.figures.axes import find_limits_near_dense, set_axis
from analysis.figures.canvas import Canvas, Margins, Picture, find_room, find_top, label_y, style
from analysis.series import Series, Setting
from analysis.statistics.control_methods import list_candidates, list_controls
from analysis.statistics.results import Results

COLUMNS = 4
HEIGHT, LEAST_HEIGHT = 1.3, 1.0
NAMED = 30  # letters of a method's name that fit into a line above a panel
DATA = [
    *("panel", "series", "method", "knobs", "stage", "sparsity", "place"),
    *("mean", "low", "high", "n"),
]


def draw_controls(results: Results, setting: Setting, kinds: tuple[str, ...]) -> list[Picture]:
    """The figures of a setting; none where no method has a control."""
    measured = results.list_measured_series(setting)
    controls = {
        series: list_controls(results, setting, series)
        for series in (results.series[index] for index in list_candidates(results))
        if series in measured
    }
    controls = {series: own for series, own in controls.items() if own}
    if not controls:
        return []
    data = _list_numbers(results, setting, controls)
    dense = results.cells_of(setting).loc[lambda cells: cells["method"] == "dense", "mean"]
    limits = find_limits_near_dense(data["mean"], dense.dropna(), results.metric)
    outside = int((~data["mean"].between(*limits)).sum())
    remarks = [
        "in colour: the method with its interval; grey: its controls, each with its interval",
        *remark_outside(outside, "point"),
    ]
    caption, foot = describe_figure(results, setting, remarks)
    columns = min(COLUMNS, max(2, len(controls)))
    wrapped = any(len(series.label) > NAMED for series in controls)
    margins = Margins(
        top=find_top(headed=True, shared=True),
        between=0.36 if wrapped else 0.28,
        gap=0.28,
        legend=0.02,
        left=0.62,
    )
    room = find_room(margins, foot)
    most_rows = int((room + margins.between) // (LEAST_HEIGHT + margins.between))
    pages = math.ceil(len(controls) / (columns * most_rows))
    methods = list(controls)
    per_page = columns * math.ceil(len(methods) / pages / columns)
    title = f"{capitalise(results.metric.title)}: methods and their controls, {setting.label}"
    pictures = []
    for number in range(1, pages + 1):
        part = f" ({number} of {pages})" if pages > 1 else ""
        shown = methods[(number - 1) * per_page : number * per_page]
        rows = math.ceil(len(shown) / columns)
        height = min(HEIGHT, (room - margins.between * (rows - 1)) / rows)
        with style():
            canvas = Canvas(
                title + part,
                heights=[height] * rows,
                columns=columns,
                margins=margins,
                foot=foot,
            )
            _draw_page(canvas, results, setting, {one: controls[one] for one in shown}, limits)
            files, size = canvas.save(kinds)
        name = name_figure("controls", results.metric, setting, str(number) if part else "")
        pictures.append(Picture(name, title + part, caption, data, files, size))
    return pictures


def _list_numbers(
    results: Results, setting: Setting, controls: dict[Series, list[Series]]
) -> pd.DataFrame:
    """The cells of every panel."""
    parts = [
        results.measured_cells(setting, series).assign(panel=method.label)
        for method, own in controls.items()
        for series in (method, *own)
    ]
    cells = pd.concat(parts, ignore_index=True)
    return cells[[name for name in DATA if name in cells]]


def _draw_page(
    canvas: Canvas,
    results: Results,
    setting: Setting,
    controls: dict[Series, list[Series]],
    limits: tuple[float, float],
) -> None:
    columns = len(canvas.axes[0])
    entries: dict[str, Line2D] = {}
    places = results.cells_of(setting)["place"]
    places = places[places > 0]
    for number, (method, own) in enumerate(controls.items()):
        row, column = divmod(number, columns)
        axes = canvas.axes[row][column]
        is_last = number + columns >= len(controls)
        _, sparsest = set_axis(axes, places, label=is_last, dense=False)
        axes.set_xlabel("sparsity" if is_last else "")
        entries |= _draw_panel(axes, results, setting, method, own)
        axes.set_ylim(*limits)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.grid(False, axis="x")
        axes.set_xlim(float(1 - places.min()) * 1.25, sparsest)  # the dense network is a line
        if column:
            axes.tick_params(labelleft=False)
        else:
            label_y(axes, results.metric.heading, size=7)
        lines = textwrap.wrap(method.label, NAMED, max_lines=2, placeholder=" ...")
        canvas.head(row, "\n".join(lines), column, size=7.5 if len(lines) < 2 else 6.2)
    for axes in [axes for row in canvas.axes for axes in row][len(controls) :]:
        axes.remove()
    canvas.add_shared_legend(list(entries.values()))


def _draw_panel(
    axes: Axes, results: Results, setting: Setting, method: Series, controls: list[Series]
) -> dict[str, Line2D]:
    """One method and its controls; returns the legend's entries of all but the method."""
    entries = {}
    if (dense := results.find_dense(setting)) is not None:
        entries["Dense"] = marks.draw_dense_level(axes, dense)
    for series in (*controls, method):
        cells = results.measured_cells(setting, series)
        cells = cells[cells["sparsity"].fillna(1.0) > 0]
        thin = series != method
        entry = marks.draw_curve(
            axes,
            1 - cells["place"],
            cells["mean"],
            marks.find_band(cells),
            series,
            thin=thin,
            shade=0.08 if thin else 0.2,
        )
        if thin:
            entries[series.label] = entry
    return entries
