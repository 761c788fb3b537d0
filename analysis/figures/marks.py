"""What figures are drawn with: lines, bands, seed marks, the dense network and the random floor."""

from typing import Any

import matplotlib.transforms
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.series import Series

DASHES: list[Any] = ["-", (0, (5, 1.5, 1, 1.5)), (0, (1, 1.2)), (0, (3, 1, 1, 1, 1, 1))]
MARKER_SIZES = {
    "P": 6.5,
    "X": 6.5,
    "*": 8.0,
}  # thin shapes need more room to look as large as the others
CLEAR, SEED_STEP = (
    4.2,
    2.4,
)  # points on paper: from a mean to the nearest seed marks, and on to those of the next series
POINTS = 150  # of one course that are drawn
MARKS = 40  # on one line; a longer course has them at some of its points
SEEDS = 20  # more seeds of one cell are not drawn one by one
BACKGROUND = "0.84"


def find_look(series: Series, *, thin: bool = False) -> dict[str, Any]:
    """How a series is drawn, as arguments of `Axes.plot`; variants of a method differ in dashes,
    filling and shade."""
    hollow = series.variant % 2 == 1
    colour = _shade(series.colour, series.variant // len(DASHES))
    return {
        "color": colour,
        "linestyle": DASHES[series.variant % len(DASHES)],
        "linewidth": 0.7 if thin else 1.3,
        "marker": series.marker,
        "markersize": (0.6 if thin else 1.0) * MARKER_SIZES.get(str(series.marker), 5.0),
        "markeredgewidth": 0.8,
        "markeredgecolor": colour if hollow else "white",
        "markerfacecolor": "white" if hollow else colour,
    }


def _shade(colour: str, step: int) -> str:
    """A colour, or a lighter (odd steps) or darker one (even steps) of the same hue where dashes
    have run out."""
    if not step:
        return colour
    target = 255 if step % 2 else 0
    part = min(0.45 * ((step + 1) // 2), 0.8)
    channels = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(one + (target - one) * part):02X}" for one in channels)


def draw_course(
    axes: Axes,
    x: pd.Series,
    y: pd.Series,
    half: pd.Series | None,
    series: Series,
    *,
    thin: bool = False,
    shade: float = 0.15,
) -> Line2D:
    """Means as a line with marks, intervals as a band of some opacity (a bar where no neighbour has
    one).

    Returns: the legend's entry.
    """
    look = find_look(series, thin=thin)
    drawn = find_drawn(len(x))
    x, y, half = x.iloc[drawn], y.iloc[drawn], None if half is None else half.iloc[drawn]
    if half is not None:
        known = half.notna().to_numpy()
        axes.fill_between(
            x,
            y - half,
            y + half,
            where=known,
            color=series.colour,
            alpha=shade,
            linewidth=0,
            zorder=1.5,
        )
        neighbours = np.concatenate([[False], known[:-1]]) | np.concatenate([known[1:], [False]])
        alone = known & ~neighbours  # a band needs two points side by side
        if alone.any():
            axes.errorbar(
                x[alone],
                y[alone],
                half[alone],
                fmt="none",
                ecolor=series.colour,
                capsize=2.5,
                lw=0.9,
            )
    axes.plot(x, y, zorder=2.5 if thin else 3, markevery=max(1, len(x) // MARKS), **look)
    return Line2D([], [], label=series.label, **look)


def find_drawn(count: int) -> np.ndarray:
    """Which of so many points of a course are drawn: all, or as many as can be told apart on paper,
    evenly spread."""
    return (
        np.arange(count)
        if count <= POINTS
        else np.linspace(0, count - 1, POINTS).round().astype(int)
    )


def group_alike(courses: dict[Series, np.ndarray]) -> list[list[Series]]:
    """Series by course; those that run the same, but for rounding, together: one line would hide
    the next."""
    groups: list[list[Series]] = []
    for one, course in courses.items():
        same = [
            group
            for group in groups
            if np.allclose(courses[group[0]], course, rtol=0.03, equal_nan=True)
        ]
        if same:
            same[0].append(one)
        else:
            groups.append([one])
    return groups


def name_group(group: list[Series]) -> str:
    """What the legend calls series that run the same."""
    names = ", ".join(one.label for one in group)
    return f"{names}: alike" if len(group) > 1 else names


def format_signed(value: float, place: int | None = None) -> str:
    """A tick label of a difference."""
    return f"{value:+g}".replace("-", "−") if value else "0"


def find_shade(bands: int) -> float:
    """The opacity of bands, so that many of them do not hide the lines."""
    return 0.16 if bands <= 3 else 0.10


def draw_background(axes: Axes, x: pd.Series, y: pd.Series) -> None:
    """A series of another panel, in grey."""
    drawn = find_drawn(len(x))
    axes.plot(x.to_numpy()[drawn], y.to_numpy()[drawn], color=BACKGROUND, linewidth=0.7, zorder=1.2)


def draw_seeds(axes: Axes, x: pd.Series, y: pd.Series, series: Series, shift: float) -> None:
    """Single seeds as small marks beside their mean, `shift` points aside."""
    aside = matplotlib.transforms.ScaledTranslation(shift / 72, 0, axes.figure.dpi_scale_trans)
    axes.plot(
        x,
        y,
        linestyle="",
        marker=series.marker,
        markersize=2.3,
        markeredgewidth=0,
        color=series.colour,
        alpha=0.75,
        transform=axes.transData + aside,
        zorder=4,
    )


def find_shifts(loud: list[Series]) -> dict[Series, float]:
    """How far beside their means the seeds of each series stand, in points."""
    return {
        one: (-1) ** index * (CLEAR + SEED_STEP * (index // 2)) for index, one in enumerate(loud)
    }


def draw_dense(axes: Axes, cell: pd.Series, values: pd.Series) -> Line2D:
    """The unpruned network as a cross-hair: its mean and band over the whole width, its seeds at
    density 1."""
    look: dict[str, Any] = {"color": "black", "linestyle": (0, (6, 3)), "linewidth": 0.9}
    if pd.notna(cell["half_width"]):
        low, high = cell["mean"] - cell["half_width"], cell["mean"] + cell["half_width"]
        axes.axhspan(low, high, color="black", alpha=0.08, linewidth=0, zorder=1)
    axes.axhline(cell["mean"], zorder=2, **look)
    axes.axvline(1.0, zorder=1.1, **(look | {"linewidth": 0.6}))
    if len(values) <= SEEDS:
        axes.plot(np.ones(len(values)), values, "_", color="black", ms=5, mew=0.8, zorder=4)
    return Line2D([], [], label="Dense", **look)


def draw_floor(axes: Axes, x: pd.Series, y: pd.Series, bottom: float) -> Line2D:
    """What random pruning reaches, as a grey floor."""
    drawn = find_drawn(len(x))
    x, y = x.iloc[drawn], y.iloc[drawn]
    axes.fill_between(x, bottom, y, color="0.5", alpha=0.13, linewidth=0, zorder=0.5)
    look: dict[str, Any] = {"color": "0.45", "linewidth": 1.0, "linestyle": (0, (1.5, 1))}
    axes.plot(x, y, zorder=1.4, **look)
    return Line2D([], [], label="Random (floor)", **look)
