"""Requested against reached sparsity: by how much methods miss what was asked for, and what own
rules come to."""

import pandas as pd
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


def draw_reached(results: Results, setting: Setting, kinds: tuple[str, ...]) -> list[Picture]:
    """The figure of a setting; none where every method reached what was asked for."""
    shown = [
        one
        for one in results.list_measured_series(setting)
        if one in results.last_stages and one.method != "dense"
    ]
    cells = {one: results.measured_cells(setting, one) for one in shown}
    off = [one for one in shown if _misses(cells[one])]
    own = [one for one in shown if cells[one]["sparsity"].isna().any()]
    exact = [one for one in shown if one not in off and one not in own]
    if not off and not own:
        return []
    title = f"Reached less requested sparsity, {setting.label}"
    remarks = ["means over seeds"]
    if exact:
        remarks.append(
            f"{len(exact)} methods reach the requested sparsity to {100 * SHIFT:g} points: on the line at 0"
        )
    remarks += (
        ["marks without a line on the axis at 0: sparsities that a method's own rule came to"]
        if own
        else []
    )
    caption, foot = describe_figure(results, setting, remarks, intervals=False)
    caption = "Sparsity in percent of the prunable weights" + caption[caption.index(", ") :]
    with style():
        asked = sorted(set(pd.concat([cells[one]["sparsity"] for one in shown]).dropna()))
        courses = {
            one: _find_difference(cells[one].set_index("sparsity").reindex(asked).reset_index())
            for one in off
        }
        groups = marks.group_alike({one: course.to_numpy() for one, course in courses.items()})
        height = max(
            HEIGHT,
            LINE * (count_lines([*map(marks.name_group, groups), *(one.label for one in own)]) + 3),
        )
        canvas = Canvas(title, heights=[height], margins=Margins(top=0.38, left=0.75), foot=foot)
        axes = canvas.axes[0][0]
        span = set_axis(axes, results.cells_of(setting)["place"])
        axes.set_xlim(*span)
        line: dict[str, object] = {"color": "0.4", "linewidth": 1.0}
        axes.axhline(0, **line)  # type: ignore[arg-type]
        handles = (
            [Line2D([], [], label=f"{len(exact)} methods: as requested", **line)] if exact else []
        )  # type: ignore[arg-type]
        for group in groups:
            here = cells[group[0]].dropna(subset=["sparsity"])
            look = marks.find_look(group[0])
            axes.plot(1 - here["sparsity"].astype(float), _find_difference(here), zorder=3, **look)
            handles.append(Line2D([], [], label=marks.name_group(group), **look))
        for one in own:
            look = marks.find_look(one) | {"linestyle": ""}
            axes.plot(1 - cells[one]["place"], [0.0] * len(cells[one]), zorder=3, **look)
            handles.append(Line2D([], [], label=f"{one.label} (own rule)", **look))
        axes.margins(y=0.15)
        axes.yaxis.set_major_formatter(FuncFormatter(marks.format_signed))
        axes.set_xlabel("requested sparsity (axis logarithmic in density)")
        axes.set_ylabel("reached less requested (points)")
        canvas.add_legend(0, handles)
        files, size = canvas.save(kinds)
    columns = ["series", "method", "knobs", "stage", "level", "sparsity", "sparsity_reached", "n"]
    data = pd.concat([cells[one] for one in shown])[columns]
    return [
        Picture(
            name_figure("sparsity-reached", results.metric, setting),
            title,
            caption,
            data,
            files,
            size,
        )
    ]


def _find_difference(cells: pd.DataFrame) -> pd.Series:
    """Reached less requested sparsity, in points."""
    return 100 * (cells["sparsity_reached"] - cells["sparsity"]).astype(float)


def _misses(cells: pd.DataFrame) -> bool:
    """Whether a series missed a requested sparsity."""
    return bool(((cells["sparsity_reached"] - cells["sparsity"]).abs() > SHIFT).any())
