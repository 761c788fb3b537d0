"""Requested against reached sparsity: by how much methods miss what was requested, and what a
method's own rule comes to."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from analysis.captions import describe_figure, name_figure
from analysis.figures import marks
from analysis.figures.axes import set_axis
from analysis.figures.canvas import LINE, Canvas, Margins, Picture, count_lines, style
from analysis.series import Series, Setting
from analysis.statistics.aggregate import SHIFT
from analysis.statistics.results import Results

HEIGHT = 2.3
COLUMNS = ["series", "method", "knobs", "stage", "level", "sparsity", "sparsity_reached", "n"]
EXACT_STYLE: dict[str, Any] = {"color": "0.4", "linewidth": 1.0}


def draw_reached(results: Results, setting: Setting, kinds: tuple[str, ...]) -> list[Picture]:
    """The figure of a setting; none where every method reached what was requested."""
    cells = {
        series: results.measured_cells(setting, series)
        for series in results.list_measured_series(setting)
        if series in results.last_stages and series.method != "dense"
    }
    off = [series for series in cells if _is_off(cells[series])]
    own_rule = [series for series in cells if cells[series]["sparsity"].isna().any()]
    exact = [series for series in cells if series not in off and series not in own_rule]
    if not off and not own_rule:
        return []
    remarks = ["means over seeds"]
    if exact:
        remarks.append(
            f"{_count_methods(exact, 'reaches', 'reach')} the requested sparsity to "
            f"{100 * SHIFT:g} points: on the line at 0"
        )
    if own_rule:
        remarks.append(
            "marks without a line on the axis at 0: sparsities that a method's own rule came to"
        )
    caption, foot = describe_figure(results, setting, remarks, intervals=False)
    caption = "Sparsity in percent of the prunable weights" + caption[caption.index(", ") :]
    groups = _group_by_difference({series: cells[series] for series in off})
    labels = [*map(marks.name_group, groups), *(f"{one.label} (own rule)" for one in own_rule)]
    title = f"Reached less requested sparsity, {setting.label}"
    with style():
        height = max(HEIGHT, LINE * (count_lines(labels) + 3))
        canvas = Canvas(title, heights=[height], margins=Margins(top=0.38, left=0.75), foot=foot)
        axes = canvas.axes[0][0]
        shown = pd.concat(cells.values())
        axes.set_xlim(*set_axis(axes, shown["sparsity"].fillna(shown["place"]).astype(float)))
        axes.axhline(0, **EXACT_STYLE)
        handles = (
            [Line2D([], [], label=f"{_count_methods(exact)}: as requested", **EXACT_STYLE)]
            if exact
            else []
        )
        handles += _draw_differences(axes, cells, groups)
        handles += _draw_own_rules(axes, {series: cells[series] for series in own_rule})
        axes.margins(y=0.15)
        axes.yaxis.set_major_formatter(FuncFormatter(marks.format_signed))
        axes.set_xlabel("requested sparsity (axis logarithmic in density)")
        axes.set_ylabel("reached less requested (points)")
        canvas.add_legend(0, handles)
        files, size = canvas.save(kinds)
    name = name_figure("sparsity-reached", results.metric, setting)
    return [Picture(name, title, caption, pd.concat(cells.values())[COLUMNS], files, size)]


def _count_methods(series: list[Series], one: str = "", several: str = "") -> str:
    """`1 method reaches` or `2 methods reach`."""
    text = f"1 method {one}" if len(series) == 1 else f"{len(series)} methods {several}"
    return text.strip()


def _group_by_difference(cells: dict[Series, pd.DataFrame]) -> list[list[Series]]:
    """The series that missed a requested sparsity, those with the same differences together."""
    if not cells:
        return []
    requested = sorted(set(pd.concat([part["sparsity"] for part in cells.values()]).dropna()))
    curves: dict[Series, np.ndarray] = {}
    for series, part in cells.items():
        at_requested = part.set_index("sparsity").reindex(requested).reset_index()
        curves[series] = _find_difference(at_requested).to_numpy()
    return marks.group_alike(curves)


def _draw_differences(
    axes: Axes, cells: dict[Series, pd.DataFrame], groups: list[list[Series]]
) -> list[Line2D]:
    handles = []
    for group in groups:
        here = cells[group[0]].dropna(subset=["sparsity"])
        line_style = marks.find_line_style(group[0])
        density = 1 - here["sparsity"].astype(float)
        axes.plot(density, _find_difference(here), zorder=3, **line_style)
        handles.append(Line2D([], [], label=marks.name_group(group), **line_style))
    return handles


def _draw_own_rules(axes: Axes, cells: dict[Series, pd.DataFrame]) -> list[Line2D]:
    handles = []
    for series, part in cells.items():
        point_style = marks.find_line_style(series) | {"linestyle": ""}
        axes.plot(1 - part["place"], [0.0] * len(part), zorder=3, **point_style)
        handles.append(Line2D([], [], label=f"{series.label} (own rule)", **point_style))
    return handles


def _find_difference(cells: pd.DataFrame) -> pd.Series:
    """Reached less requested sparsity, in points."""
    return 100 * (cells["sparsity_reached"] - cells["sparsity"]).astype(float)


def _is_off(cells: pd.DataFrame) -> bool:
    """Whether a series missed a requested sparsity."""
    return bool(((cells["sparsity_reached"] - cells["sparsity"]).abs() > SHIFT).any())
