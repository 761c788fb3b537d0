"""Published numbers beside ours, where the study file names some."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.captions import capitalise, describe_figure, name_figure
from analysis.figures import marks
from analysis.figures.canvas import Canvas, Margins, Picture, style
from analysis.series import format_sparsity
from analysis.statistics.published import PublishedNumber, compare_published
from analysis.statistics.results import Results

ROW = 0.24  # inches of height that a number takes
BLUE, RED = "#0072B2", "#D55E00"


def draw_published(results: Results, kinds: tuple[str, ...]) -> list[Picture]:
    """The figure of a study: published numbers of its metric beside our means; none where there is
    no pair."""
    pairs = [pair for pair in compare_published(results) if pair.ours.cell is not None]
    if not pairs:
        return []
    title = f"{capitalise(results.metric.heading)}: published and ours"
    remarks = ["ours: mean over seeds and its interval", "sources are in table 'published'"]
    if any(pair.published.spread is not None for pair in pairs):
        remarks.insert(1, "published: with the spread of the source, which the table names")
    caption, foot = describe_figure(results, None, remarks)
    labels = [f"{pair.ours.method}, {format_sparsity(pair.published.sparsity)} %" for pair in pairs]
    with style():
        margins = Margins(left=min(0.35 + 0.056 * max(map(len, labels)), 3.4), legend=1.2, top=0.38)
        height = min(max(0.8, ROW * len(pairs)), 9.0)
        canvas = Canvas(title, heights=[height], margins=margins, foot=foot)
        axes = canvas.axes[0][0]
        for place, pair in enumerate(reversed(pairs)):
            _draw_pair(axes, place, pair.published, pair.ours.cell)
        axes.set_yticks(range(len(pairs)), labels[::-1], fontsize=7)
        axes.set_ylim(-0.6, len(pairs) - 0.4)
        axes.set_xlabel(results.metric.heading)
        axes.margins(x=0.08)
        axes.grid(True, axis="x")
        ours = Line2D([], [], marker="o", color=BLUE, linestyle="", label="ours")
        theirs = Line2D(
            [], [], marker="D", color=RED, markerfacecolor="white", linestyle="", label="published"
        )
        canvas.add_legend(0, [theirs, ours])
        files, size = canvas.save(kinds)
    data = pd.DataFrame([pair.to_row() for pair in pairs])
    name = name_figure("published", results.metric, None)
    return [Picture(name, title, caption, data, files, size)]


def _draw_pair(axes: Axes, place: int, published: PublishedNumber, cell: Any) -> None:
    """One published number, with its spread if the source gives one, and our mean with its
    interval, joined by a line."""
    axes.plot([published.value, cell.mean], [place, place], color="0.8", linewidth=1.0, zorder=1)
    reach = marks.find_error_bars(pd.DataFrame([cell._asdict()]))
    axes.errorbar(
        cell.mean, place, xerr=reach, fmt="o", color=BLUE, ms=5, capsize=2.5, lw=1.0, zorder=3
    )
    axes.errorbar(
        published.value,
        place,
        xerr=published.spread,
        fmt="D",
        color=RED,
        mfc="white",
        ms=5,
        capsize=2.5,
        lw=1.0,
        zorder=4,
    )
