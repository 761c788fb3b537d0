"""The Pareto front: accuracy against effective MACs and, where it was measured, latency."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from analysis.captions import capitalise, describe_figure, name_figure
from analysis.figures import marks
from analysis.figures.canvas import LINE, Canvas, Margins, Picture, count_lines, style
from analysis.series import Series, Setting
from analysis.statistics.pareto import COSTS, find_results_with_cost
from analysis.statistics.results import Results

HEIGHT = 2.6
DRAWN = ("effective_macs", "latency_ms_b1", "latency_ms_b256")
ROOM = 1.2  # the y axis ends this many heights of the front below it; what lies lower is counted in the caption


def draw_pareto(results: Results, setting: Setting, kinds: tuple[str, ...]) -> list[Picture]:
    """The figure of a setting: a row per cost that was measured; none where only the dense network
    was."""
    costs = [
        cost
        for cost in COSTS
        if cost.column in DRAWN and len(find_results_with_cost(results, setting, cost)) > 1
    ]
    if not costs:
        return []
    points = {cost: find_results_with_cost(results, setting, cost) for cost in costs}
    best = {cost: _name(results, found[found["front"]]) for cost, found in points.items()}
    limits = {
        cost: _find_limits(found, results.metric.unit, higher=results.metric.higher)
        for cost, found in points.items()
    }
    outside = max(
        int((~found["mean"].between(*limits[cost])).sum()) for cost, found in points.items()
    )
    remarks = [
        "on the line: nothing as cheap is better, labels are sparsities",
        "faint: beaten by something as cheap",
    ]
    remarks += [f"{outside} results lie outside the frame"] if outside else []
    remarks.append("means over seeds, whose intervals the tables give")
    caption, foot = describe_figure(results, setting, remarks, intervals=False)
    names = " and ".join(cost.title.split(" (")[0] for cost in costs)
    title = f"{capitalise(results.metric.title)} against {names}, {setting.label}"
    with style():
        counts = [count_lines([one.label for one in best[cost]]) + 2 for cost in costs]
        canvas = Canvas(
            title,
            heights=[max(HEIGHT, LINE * count) for count in counts],
            margins=Margins(top=0.38),
            foot=foot,
        )
        for row, cost in enumerate(costs):
            axes = canvas.axes[row][0]
            axes.set_ylim(*limits[cost])
            canvas.add_legend(row, _draw_panel(axes, results, points[cost], best[cost]))
            axes.set_xlabel(cost.title)
            axes.set_ylabel(results.metric.heading)
        files, size = canvas.save(kinds)
    columns = [
        "series",
        "method",
        "knobs",
        "stage",
        "sparsity",
        "sparsity_reached",
        "mean",
        "half_width",
        "n",
    ]
    parts = [
        found.assign(against=cost.title)[["against", "cost", "front", *columns]]
        for cost, found in points.items()
    ]
    return [
        Picture(
            name_figure("pareto", results.metric, setting),
            title,
            caption,
            pd.concat(parts),
            files,
            size,
        )
    ]


def _name(results: Results, cells: pd.DataFrame) -> list[Series]:
    """The series of some cells, in the order of legends."""
    lines = set(cells["series_index"])
    return [one for index, one in enumerate(results.series) if index in lines]


def _draw_panel(
    axes: Axes, results: Results, points: pd.DataFrame, best: list[Series]
) -> list[Line2D]:
    low, high = axes.get_ylim()
    axes.set_xscale("log")
    axes.grid(True)
    shown = points[points["mean"].between(low, high)]
    for line, cells in shown[~shown["front"]].groupby("series_index"):
        look = marks.find_look(results.series[int(str(line))]) | {
            "linestyle": "",
            "alpha": 0.35,
            "markersize": 4.0,
        }
        cells = cells.iloc[marks.find_drawn(len(cells))]
        axes.plot(cells["cost"], cells["mean"], zorder=2, **look)
    front = points[points["front"]]
    # Up to the next better point, nothing as cheap is better than the last one.
    steps = [*front["cost"], shown["cost"].max()], [*front["mean"], front["mean"].iloc[-1]]
    axes.step(*steps, where="post", color="0.4", linewidth=0.9, zorder=2.5)
    handles = []
    for one in best:
        look = marks.find_look(one) | {"linestyle": ""}
        if one.method == "dense":
            look |= {"marker": "s", "markerfacecolor": "black", "markersize": 5.0}
        cells = front[front["series_index"] == results.series.index(one)]
        axes.plot(cells["cost"], cells["mean"], zorder=4, **look)
        handles.append(Line2D([], [], label=one.label, **look))
    width = np.log10(shown["cost"].max() / shown["cost"].min())
    labelled = np.inf
    for cell in front[::-1].itertuples():
        if (here := np.log10(float(str(cell.cost)))) > labelled - 0.035 * width:
            continue  # its label would lie on the point after it
        labelled = here
        text = f"{100 * float(str(cell.place)):.3g} %"
        axes.annotate(
            text,
            (cell.cost, cell.mean),
            (0, 5),
            textcoords="offset points",
            fontsize=6.3,
            rotation=60,
            va="bottom",
            zorder=6,
            path_effects=[Stroke(linewidth=1.8, foreground="white"), Normal()],
        )
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    look = {
        "marker": "o",
        "linestyle": "",
        "color": "0.5",
        "alpha": 0.4,
        "markersize": 4.0,
        "markeredgewidth": 0,
    }
    return [*handles, Line2D([], [], label="beaten by one as cheap", **look)]  # type: ignore[arg-type]


def _find_limits(points: pd.DataFrame, unit: str, *, higher: bool) -> tuple[float, float]:
    """A y axis around the front: what lies far from it would press it into a corner."""
    front = points.loc[points["front"], "mean"]
    low, high = float(front.min()), float(front.max())
    room = max(high - low, ROOM * 4.0 if unit == "%" else 0.1 * abs(high), 1e-6)
    far = max(float(points["mean"].min()), low - ROOM * room) if higher else low
    top = high if higher else min(float(points["mean"].max()), high + ROOM * room)
    margin = 0.06 * (top - far)
    return far - margin, top + 3.2 * margin  # room for labels
