"""The figure of one method in a study: its sparsity curve with intervals, the dense network and
random pruning."""

from __future__ import annotations

import io

import pandas as pd
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from analysis.figures.axes import set_axis
from analysis.figures.canvas import METADATA, style
from analysis.method_styles import find_method_styles

SIZE = (5.6, 2.7)  # inches
ROOM = 0.6  # points of accuracy above and below what is drawn


def draw_method(table: pd.DataFrame, method: str) -> bytes:
    """The figure as SVG on a white ground, so that it can be read on a dark page, too.

    Args:
        table: as `curves.tabulate` makes it.
        method: its name; has rows in the table.
    """
    method_style = find_method_styles(set(table["method"]) | {method})[method]
    dense = table[table["method"] == "dense"].iloc[0]
    random = table[table["method"] == "random"].sort_values("sparsity")
    cells = table[table["method"] == method].sort_values("sparsity")
    with style():
        figure = Figure(figsize=SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        span = set_axis(axes, table["sparsity"])
        axes.axhline(
            dense["mean"], color="black", linestyle=(0, (6, 3)), linewidth=0.9, label="dense, mean"
        )
        if method == "dense":
            axes.axhspan(
                dense["low"],
                dense["high"],
                color="black",
                alpha=0.08,
                linewidth=0,
                label="dense, 95 % interval",
            )
        x = 1 - cells["sparsity"]
        if method != "random":
            axes.plot(
                1 - random["sparsity"],
                random["mean"],
                color="#777777",
                linewidth=0.8,
                label="random, mean",
            )
        if method != "dense":
            axes.fill_between(
                x,
                cells["low"],
                cells["high"],
                color=method_style.colour,
                alpha=0.18,
                linewidth=0,
            )
            axes.plot(
                x,
                cells["mean"],
                color=method_style.colour,
                marker=method_style.marker,
                markersize=5,
                label=method_style.title,
            )
        shown = (
            pd.concat([cells, random]) if method != "dense" else pd.concat([cells, random.iloc[:0]])
        )
        axes.set_ylim(
            _find_lower_limit(cells, shown),
            min(100.4, max(shown["mean"].max(), dense["mean"]) + ROOM),
        )
        axes.set_xlim(*span)
        axes.set_ylabel("test top-1 accuracy (%)")
        axes.legend(frameon=False, fontsize=7, loc="lower left")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata=METADATA["svg"], facecolor="white")
    return buffer.getvalue()


def _find_lower_limit(cells: pd.DataFrame, shown: pd.DataFrame) -> float:
    """Where the y axis begins: below all means and, as far as that does not double the height,
    below the band."""
    low, high = float(shown["mean"].min()), float(shown["mean"].max())
    band = float(cells["low"].min())
    return max(0.0, min(low, max(band, low - max(high - low, ROOM))) - ROOM)
