"""Published numbers beside ours, where the study file names some."""

import pandas as pd
from matplotlib.lines import Line2D

from analysis.captions import describe_figure, name_figure
from analysis.figures.canvas import Canvas, Margins, Picture, style
from analysis.series import format_sparsity
from analysis.statistics.published import compare_published
from analysis.statistics.results import Results

ROW = 0.24  # inches of height that a number takes
BLUE, RED = "#0072B2", "#D55E00"


def draw_published(results: Results, kinds: tuple[str, ...]) -> list[Picture]:
    """The figure of a study: published numbers of its metric beside our means; none where there is
    no pair."""
    pairs = [pair for pair in compare_published(results) if pair.ours.cell is not None]
    if not pairs:
        return []
    title = f"{results.metric.heading[:1].upper() + results.metric.heading[1:]}: published and ours"
    remarks = ["ours: mean over seeds and its interval", "sources are in table 'published'"]
    caption, foot = describe_figure(results, None, remarks)
    longest = 0
    with style():
        labels = [
            f"{pair.ours.method}, {format_sparsity(pair.published.sparsity)} %" for pair in pairs
        ]
        longest = max(map(len, labels))
        margins = Margins(left=min(0.35 + 0.056 * longest, 3.4), legend=1.2, top=0.38)
        canvas = Canvas(title, heights=[max(0.8, ROW * len(pairs))], margins=margins, foot=foot)
        axes = canvas.axes[0][0]
        for place, pair in enumerate(reversed(pairs)):
            cell = pair.ours.cell
            half = None if pd.isna(cell.half_width) else cell.half_width
            axes.plot(
                [pair.published.value, cell.mean],
                [place, place],
                color="0.8",
                linewidth=1.0,
                zorder=1,
            )
            axes.errorbar(
                cell.mean,
                place,
                xerr=half,
                fmt="o",
                color=BLUE,
                ms=5,
                capsize=2.5,
                lw=1.0,
                zorder=3,
            )
            axes.plot(pair.published.value, place, "D", color=RED, mfc="white", ms=5, zorder=4)
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
    return [
        Picture(name_figure("published", results.metric, None), title, caption, data, files, size)
    ]
