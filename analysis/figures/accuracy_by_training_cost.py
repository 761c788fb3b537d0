"""Accuracy against what the training cost, a panel per sparsity: who was better, and who only
trained longer."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.captions import capitalise, describe_figure, name_figure, remark_outside
from analysis.figures import marks
from analysis.figures.axes import find_limits_near_dense
from analysis.figures.canvas import LINE, Canvas, Margins, Picture, count_lines, label_y, style
from analysis.series import Series, Setting, format_sparsity
from analysis.statistics.leaderboard import make_leaderboard
from analysis.statistics.results import Results

MOST = 4  # sparsities, evenly spread
HEIGHT = 2.1
TOP = 0.56  # inches above the first row: title and heads
# Between two groups of equal cost, and the least width of one, in places of one result.
GAP, LEAST = 0.6, 2.2
DATA = [
    *("sparsity", "rank", "role", "series", "method", "total_epochs", "train_macs"),
    *("mean", "low", "high", "n"),
]


@dataclass(frozen=True)
class TrainingCost:
    """What a training takes: a column of the leaderboard, its name for readers, and the factor to
    its unit."""

    column: str
    title: str
    factor: float
    name: str


COSTS = (
    TrainingCost("total_epochs", "epochs of training in total, dense and own", 1.0, "epochs"),
    TrainingCost("train_macs", "MACs of training in total (T)", 1e-12, "macs"),
)


def draw_training_budget(
    results: Results, setting: Setting, kinds: tuple[str, ...]
) -> list[Picture]:
    """A figure per cost that is known of a setting; none where all methods cost the same."""
    cells = results.cells_of(setting)
    cells = cells[(cells["n"] > 0) & (cells["sparsity"] > 0)]
    sparsities = _choose_sparsities(cells[~cells["iterated"]])
    sparsities = sparsities or _choose_sparsities(cells)
    if not sparsities:
        return []
    boards = pd.concat(
        make_leaderboard(results, setting, sparsity).rows.assign(sparsity=sparsity)
        for sparsity in sparsities
    )
    pictures = []
    for cost in COSTS:
        known = boards.dropna(subset=[cost.column])
        if known.loc[known["role"] == "method", cost.column].nunique() > 1:
            pictures.append(_draw(results, setting, known, cost, kinds))
    return pictures


def _choose_sparsities(cells: pd.DataFrame) -> list[float]:
    """At most so many of the sparsities that most methods have, evenly spread."""
    counts = cells.groupby("sparsity")["series_index"].nunique()
    common = sorted(counts.index[counts >= 0.5 * counts.max()]) if len(counts) else []
    if len(common) <= MOST:
        return [float(value) for value in common]
    places = np.linspace(0, len(common) - 1, MOST).round().astype(int)
    return [float(common[place]) for place in places]


def _draw(
    results: Results,
    setting: Setting,
    boards: pd.DataFrame,
    cost: TrainingCost,
    kinds: tuple[str, ...],
) -> Picture:
    sparsities = list(boards["sparsity"].unique())
    costs = boards[cost.column].astype(float) * cost.factor
    boards = boards.assign(cost=[float(f"{value:.3g}") for value in costs])
    places = _find_places(boards)
    dense = boards.loc[boards["method"] == "dense", "mean"]
    limits = find_limits_near_dense(boards["mean"], dense, results.metric)
    outside = int((~boards["mean"].between(*limits)).sum())
    remarks = [
        "bars are intervals; results of equal cost stand side by side, cheap ones left",
        "dashed: the dense network, a black square at its own cost",
        *remark_outside(outside, "result"),
    ]
    caption, foot = describe_figure(results, setting, remarks)
    title = f"{capitalise(results.metric.title)} against training cost, {setting.label}"
    columns = min(2, len(sparsities))
    rows = math.ceil(len(sparsities) / columns)
    shown = [results.series[index] for index in sorted(set(boards["series_index"]))]
    needed = LINE * (count_lines([series.label for series in shown]) + 1)
    height = min(max(HEIGHT, (needed - 0.35 * (rows - 1)) / rows), 8.6 / rows)
    with style():
        margins = Margins(top=TOP, between=0.35, gap=0.16)
        canvas = Canvas(title, heights=[height] * rows, columns=columns, margins=margins, foot=foot)
        for number, sparsity in enumerate(sparsities):
            row, column = divmod(number, columns)
            axes = canvas.axes[row][column]
            _draw_panel(axes, results, boards[boards["sparsity"] == sparsity], places)
            is_last = number + columns >= len(sparsities)
            _set_cost_axis(axes, places, last=is_last)
            axes.set_ylim(*limits)
            axes.tick_params(labelleft=column == 0)
            axes.set_xlabel(cost.title if is_last else "", fontsize=7)
            label_y(axes, results.metric.heading if column == 0 else "")
            canvas.head(row, f"at {format_sparsity(sparsity)} %", column)
        canvas.add_legend(0, [_make_entry(series) for series in shown])
        for axes in [axes for row in canvas.axes for axes in row][len(sparsities) :]:
            axes.remove()
        files, size = canvas.save(kinds)
    name = name_figure(f"training-{cost.name}", results.metric, setting)
    return Picture(name, title, caption, boards[DATA].reset_index(drop=True), files, size)


def _make_entry(series: Series) -> Line2D:
    return Line2D([], [], label=series.label, **_find_point_style(series))


def _find_point_style(series: Series) -> dict[str, Any]:
    point_style = marks.find_line_style(series) | {"linestyle": ""}
    if series.method == "dense":
        point_style |= {"marker": "s", "markerfacecolor": "black"}
    return point_style


def _draw_panel(
    axes: Axes, results: Results, board: pd.DataFrame, places: dict[tuple[float, int], float]
) -> None:
    """The results at one sparsity, each at its place."""
    for index, row in board.set_index("series_index").iterrows():
        series = results.series[int(str(index))]
        x = places[row["cost"], int(str(index))]
        if row["method"] == "dense":
            axes.axhline(row["mean"], zorder=1.5, **marks.DENSE_STYLE)
        axes.plot(
            [x, x],
            [row["low"], row["high"]],
            color=series.colour,
            linewidth=0.8,
            alpha=0.6,
            zorder=2,
        )
        axes.plot(x, row["mean"], zorder=3, **_find_point_style(series))


def _find_places(boards: pd.DataFrame) -> dict[tuple[float, int], float]:
    """Where each result stands, by its cost and series: groups of equal cost, the cheapest first,
    and in a group side by side in the order of legends. The same in all panels."""
    places = {}
    here = 0.0
    for _, same in boards.groupby("cost"):
        members = sorted(set(same["series_index"]))
        width = max(float(len(members)), LEAST)
        for number, index in enumerate(members):
            start = here + (width - len(members)) / 2
            places[float(same["cost"].iloc[0]), int(index)] = start + number
        here += width + GAP
    return places


def _set_cost_axis(axes: Axes, places: dict[tuple[float, int], float], *, last: bool) -> None:
    """An axis with a tick in the middle of each group of equal cost and a line between groups; of
    groups whose labels would touch, some have none."""
    groups = pd.Series(places).groupby(level=0)
    first, final = groups.min(), groups.max()
    width = float(final.max()) + 2
    middles = (first + final) / 2
    labelled: list[float] = []
    for cost, middle in middles.items():
        if not labelled or middle - middles[labelled[-1]] > 0.055 * width:
            labelled.append(float(str(cost)))
    names = [f"{cost:.3g}" if last else "" for cost in labelled]
    axes.set_xticks([float(middles[cost]) for cost in labelled], names)
    for before, after in zip(final, first.iloc[1:], strict=False):
        axes.axvline((before + after) / 2, color="0.88", linewidth=0.7, zorder=0.5)
    axes.set_xlim(-1, width - 1)
    axes.grid(True, axis="y")
