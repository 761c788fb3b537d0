"""The Pareto front: accuracy against effective MACs and, where it was measured, latency."""

import re
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from analysis.captions import capitalise, describe_figure, name_figure, remark_outside
from analysis.figures import marks
from analysis.figures.canvas import LINE, Canvas, Margins, Picture, count_lines, label_y, style
from analysis.series import Series, Setting, format_sparsity
from analysis.statistics.pareto import COSTS, Cost, find_results_with_cost
from analysis.statistics.results import Results

HEIGHT = 2.7
DRAWN = ("effective_macs", "latency_ms_b1", "latency_ms_b256")
# The y axis ends this many heights of the front below it; the caption counts what lies lower.
ROOM = 1.2
BEATEN = 0.45  # opacity of what is not on the front
COLUMNS = [
    *("series", "method", "knobs", "stage", "sparsity", "sparsity_reached"),
    *("mean", "low", "high", "n"),
]


def draw_pareto(results: Results, setting: Setting, kinds: tuple[str, ...]) -> list[Picture]:
    """The figure of a setting: a row per cost that was measured; none where only the dense network
    was."""
    points: dict[Cost, pd.DataFrame] = {}
    costless: dict[Cost, int] = {}
    for cost in COSTS:
        if cost.column not in DRAWN:
            continue
        found = find_results_with_cost(results, setting, cost, positive=True)
        if len(found) > 1:
            points[cost] = found
            costless[cost] = len(find_results_with_cost(results, setting, cost)) - len(found)
    if not points:
        return []
    dense = results.find_dense(setting)
    limits = {cost: _find_limits(results, found, dense) for cost, found in points.items()}
    caption, foot = describe_figure(
        results, setting, _list_remarks(points, limits, costless), intervals=False
    )
    names = " and ".join(dict.fromkeys(re.split(r" \(| at ", cost.title)[0] for cost in points))
    title = f"{capitalise(results.metric.title)} against {names}, {setting.label}"
    with style():
        canvas = _draw(results, points, limits, dense, title, foot)
        files, size = canvas.save(kinds)
    data = pd.concat(
        found.assign(against=cost.title)[
            ["against", "cost", "front", *(name for name in COLUMNS if name in found)]
        ]
        for cost, found in points.items()
    )
    name = name_figure("pareto", results.metric, setting)
    return [Picture(name, title, caption, data, files, size)]


def _list_remarks(
    points: dict[Cost, pd.DataFrame],
    limits: dict[Cost, tuple[float, float]],
    costless: dict[Cost, int],
) -> list[str]:
    outside = max(
        int((~found["mean"].between(*limits[cost])).sum()) for cost, found in points.items()
    )
    remarks = [
        "on the grey line: nothing as cheap is better, labels are sparsities",
        "faint: something as cheap is better",
        "dashed: the dense network",
    ]
    remarks += remark_outside(outside, "result")
    remarks += [
        f"{count} {'result' if count == 1 else 'results'} without any "
        f"{cost.title.split(' (')[0]}: no place on a logarithmic axis"
        for cost, count in costless.items()
        if count
    ]
    return [*remarks, "means over seeds, whose intervals the tables give"]


def _draw(
    results: Results,
    points: dict[Cost, pd.DataFrame],
    limits: dict[Cost, tuple[float, float]],
    dense: pd.Series | None,
    title: str,
    foot: str,
) -> Canvas:
    shown = [
        results.series[index]
        for index in sorted(
            {
                int(index)
                for cost, found in points.items()
                for index in found.loc[found["mean"].between(*limits[cost]), "series_index"]
            }
        )
    ]
    handles = [_make_entry(series) for series in shown]
    handles.append(Line2D([], [], color="0.4", linewidth=0.9, label="Pareto front"))
    # The legend is that of all rows, and may reach down beside the lower ones.
    needed = LINE * (count_lines([str(handle.get_label()) for handle in handles]) + 1) / len(points)
    height = min(max(HEIGHT, needed), 9.0 / len(points))
    canvas = Canvas(
        title, heights=[height] * len(points), margins=Margins(top=0.38, between=0.5), foot=foot
    )
    for row, (cost, found) in enumerate(points.items()):
        axes = canvas.axes[row][0]
        axes.set_ylim(*limits[cost])
        _draw_panel(axes, results, found)
        if dense is not None:
            axes.axhline(dense["mean"], zorder=1.5, **marks.DENSE_STYLE)
        axes.set_xlabel(cost.title)
        label_y(axes, results.metric.heading)
    canvas.add_legend(0, handles)
    return canvas


def _make_entry(series: Series) -> Line2D:
    return Line2D([], [], label=series.label, **_find_point_style(series))


def _find_point_style(series: Series) -> dict[str, Any]:
    """How one result of a series is drawn; the dense network as a black square."""
    point_style = marks.find_line_style(series) | {"linestyle": ""}
    if series.method == "dense":
        point_style |= {"marker": "s", "markerfacecolor": "black", "markersize": 5.5}
    return point_style


def _draw_panel(axes: Axes, results: Results, points: pd.DataFrame) -> None:
    axes.set_xscale("log")
    axes.grid(True)
    shown = points[points["mean"].between(*axes.get_ylim())]
    for index, cells in shown.groupby("series_index"):
        series = results.series[int(str(index))]
        point_style = _find_point_style(series)
        front = cells[cells["front"]]
        axes.plot(front["cost"], front["mean"], zorder=4, **point_style)
        beaten = cells[~cells["front"]]
        beaten = beaten.iloc[marks.find_drawn(len(beaten))]
        is_dense = series.method == "dense"
        fainter = {} if is_dense else {"alpha": BEATEN, "markersize": 4.2}
        axes.plot(
            beaten["cost"], beaten["mean"], zorder=4 if is_dense else 2, **(point_style | fainter)
        )
    front = points[points["front"]]
    # Up to the next better point, nothing as cheap is better than the last one.
    steps = [*front["cost"], points["cost"].max()], [*front["mean"], front["mean"].iloc[-1]]
    axes.step(*steps, where="post", color="0.4", linewidth=0.9, zorder=2.5)
    _label_front(axes, front, float(np.log10(shown["cost"].max() / shown["cost"].min())))
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _label_front(axes: Axes, front: pd.DataFrame, decades: float) -> None:
    """The sparsities of the results on the front, as far as labels do not lie on other points."""
    labelled = np.inf
    for cell in front[::-1].itertuples():
        if (place := np.log10(float(str(cell.cost)))) > labelled - 0.035 * decades:
            continue
        labelled = place
        axes.annotate(
            f"{format_sparsity(round(float(str(cell.place)), 3))} %",
            (float(str(cell.cost)), float(str(cell.mean))),
            (0, 5),
            textcoords="offset points",
            fontsize=6.3,
            rotation=60,
            va="bottom",
            zorder=6,
            path_effects=[Stroke(linewidth=1.8, foreground="white"), Normal()],
        )


def _find_limits(
    results: Results, points: pd.DataFrame, dense: pd.Series | None
) -> tuple[float, float]:
    """A y axis around the front and the dense network: what lies far from them would press them
    into a corner."""
    unit, higher = results.metric.unit, results.metric.higher
    front = points.loc[points["front"], "mean"]
    values = [*front, *([] if dense is None else [dense["mean"]])]
    low, high = float(min(values)), float(max(values))
    room = max(high - low, ROOM * 4.0 if unit == "%" else 0.1 * abs(high), 1e-6)
    far = max(float(points["mean"].min()), low - ROOM * room) if higher else low
    top = high if higher else min(float(points["mean"].max()), high + ROOM * room)
    margin = 0.06 * max(top - far, 0.1 * room)
    return far - margin, top + 3.2 * margin  # room for labels
