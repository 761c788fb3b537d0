"""Parallel coordinates of a search: each candidate one line through its values, coloured by how
well it did."""

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from analysis.figures.canvas import Canvas, Margins, Picture, style
from analysis.reading.search_data import Search
from analysis.series import format_sparsity
from analysis.statistics.search_importance import encode_dimension, find_relative_ranks

HEIGHT, PANELS, LABELS = 1.7, 4, 7
PLACE = "place"


def draw_parallel(search: Search, head: str, foot: str, kinds: tuple[str, ...]) -> list[Picture]:
    """One figure with a panel for each of the first sparsities, further ones on further figures."""
    ended = {
        s: search.candidates_at(s)
        .assign(place=find_relative_ranks(search.candidates_at(s)))
        .dropna(subset=[PLACE])
        for s in search.sparsities
    }
    shown = [sparsity for sparsity, here in ended.items() if len(here) > 1]
    pages = [shown[start : start + PANELS] for start in range(0, len(shown), PANELS)]
    pictures = []
    for number, page in enumerate(pages):
        part = f" ({number + 1} of {len(pages)})" if len(pages) > 1 else ""
        title = f"Candidates in parallel coordinates, {head}{part}"
        counts = sorted({len(ended[sparsity]) for sparsity in page})
        remarks = [
            f"{counts[0]} to {counts[-1]} candidates in a panel"
            if len(counts) > 1
            else f"{counts[0]} candidates in each"
        ]
        remarks.append(
            "colour and last axis: place among those at this sparsity, by how far they got and "
            "what they reached"
        )
        remarks.append("a value under an axis: the condition of that dimension was not met")
        with style():
            canvas = Canvas(
                title,
                heights=[HEIGHT] * len(page),
                margins=Margins(left=0.45, top=0.62, between=0.5, bottom=0.36),
                foot="; ".join([*remarks, foot]),
            )
            for row, sparsity in enumerate(page):
                canvas.head(row, f"sparsity {format_sparsity(sparsity)} %")
                _draw_panel(search, canvas.axes[row][0], ended[sparsity])
            canvas.add_legend(0, _make_legend(), "place")
            files, size = canvas.save(kinds)
        data = pd.concat([ended[sparsity] for sparsity in page])
        data = data[["sparsity", "number", *search.dimensions, "outcome", "reached", PLACE]]
        name = f"search-parallel{f'-{number + 1}' if part else ''}"
        pictures.append(
            Picture(name, title, f"{title}. {'; '.join([*remarks, foot])}.", data, files, size)
        )
    return pictures


def _make_legend() -> list[Line2D]:
    colours = matplotlib.colormaps["viridis"]
    titles = {1.0: "best", 0.5: "middle", 0.0: "worst, or disconnected"}
    return [
        Line2D([], [], color=colours(_shade(place)), label=title) for place, title in titles.items()
    ]


def _shade(place: float) -> float:
    return 0.95 - 0.9 * place  # the best dark: it must stand out on white


def _draw_panel(search: Search, axes: Axes, here: pd.DataFrame) -> None:
    columns = [_scale(search, name, here[name]) for name in search.dimensions]
    heights = np.column_stack([*(scaled for scaled, _ in columns), here[PLACE]])
    order = np.argsort(here[PLACE].to_numpy(), kind="stable")
    colours = matplotlib.colormaps["viridis"]
    lines: Any = [np.column_stack([np.arange(heights.shape[1]), heights[index]]) for index in order]
    shades = [colours(_shade(place)) for place in here[PLACE].to_numpy()[order]]
    axes.add_collection(LineCollection(lines, colors=shades, linewidths=1.0, alpha=0.85, zorder=3))
    axes.set_xlim(-0.15, heights.shape[1] - 1 + 0.15)
    axes.set_ylim(-0.12, 1.06)
    axes.set_xticks(range(heights.shape[1]), [*search.dimensions, PLACE])
    axes.set_yticks([])
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    for index, (_, labels) in enumerate([*columns, (None, {0.0: "0", 1.0: "1"})]):
        axes.axvline(index, color="0.3", linewidth=0.8, zorder=2)
        for height, text in labels.items():
            last = index == heights.shape[1] - 1
            place: Any = ((4 if last else -4, 0), "left" if last else "right")
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.75}
            axes.annotate(
                text,
                (index, height),
                place[0],
                textcoords="offset points",
                ha=place[1],
                va="center",
                fontsize=6.5,
                bbox=box,
                zorder=5,
            )


def _scale(search: Search, name: str, values: pd.Series) -> tuple[np.ndarray, dict[float, str]]:
    """Heights 0 ... 1 on the axis of a dimension, below it where it has no value, and its labels by
    height."""
    known = values.notna().to_numpy()
    codes = encode_dimension(search, name, values)
    if search.choices(name) and not search.is_number(name):
        count = len(search.choices(name))
        labels = {
            code / max(count - 1, 1): str(value) for code, value in enumerate(search.choices(name))
        }
        return np.where(known, codes / max(count - 1, 1), -0.1), labels
    low, high = (
        (float(codes[known].min()), float(codes[known].max())) if known.any() else (0.0, 1.0)
    )
    width = max(high - low, 1e-12)
    numbers = np.linspace(low, high, 4) if high > low else np.array([low])
    labels = {(n - low) / width: f"{np.exp(n) if search.is_log(name) else n:.3g}" for n in numbers}
    return np.where(known, (codes - low) / width, -0.1), labels
