"""What figures are drawn with: curves, bands, marks of single seeds, the dense network, and what
random pruning reaches."""

from collections.abc import Sequence
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
SEED_SIZE = 2.3  # points of a seed's mark
POINTS = 150  # of one curve that are drawn
MARKS = 40  # on one curve; a longer one has them at some of its points
SEEDS = 20  # more seeds of one cell are not drawn one by one
BACKGROUND = "0.80"


def find_line_style(series: Series, *, thin: bool = False) -> dict[str, Any]:
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
    channels = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return "#" + "".join(
        f"{round(channel + (target - channel) * part):02X}" for channel in channels
    )


Band = tuple[pd.Series, pd.Series]  # the lower and the upper end of intervals


def find_band(cells: pd.DataFrame, value: str = "mean") -> Band:
    """The ends of the intervals of a column, NaN where there is none; they need not lie at equal
    distances from the value."""
    prefix = "" if value in ("mean", "difference") else f"{value}_"
    return cells[f"{prefix}low"].astype(float), cells[f"{prefix}high"].astype(float)


def find_error_bars(cells: pd.DataFrame, value: str = "mean") -> np.ndarray:
    """How far intervals reach below and above their values, as `Axes.errorbar` takes it; 0 where
    there is no interval."""
    low, high = find_band(cells, value)
    reach = np.array([cells[value] - low, high - cells[value]], dtype=float)
    return np.asarray(np.clip(np.nan_to_num(reach), 0.0, None))


def draw_curve(
    axes: Axes,
    x: pd.Series,
    y: pd.Series,
    band: Band | None,
    series: Series,
    *,
    thin: bool = False,
    shade: float = 0.15,
) -> Line2D:
    """Means as a line with marks, intervals as a band of some opacity (a bar where no neighbour has
    one).

    Returns: the legend's entry.
    """
    line_style = find_line_style(series, thin=thin)
    drawn = find_drawn(len(x))
    x, y = x.iloc[drawn], y.iloc[drawn]
    if band is not None:
        _draw_band(axes, x, y, (band[0].iloc[drawn], band[1].iloc[drawn]), series, shade)
    axes.plot(x, y, zorder=2.5 if thin else 3, markevery=max(1, len(x) // MARKS), **line_style)
    return Line2D([], [], label=series.label, **line_style)


def _draw_band(
    axes: Axes, x: pd.Series, y: pd.Series, band: Band, series: Series, shade: float
) -> None:
    """The intervals of a curve."""
    low, high = band
    known = (low.notna() & high.notna()).to_numpy()
    axes.fill_between(
        x, low, high, where=known, color=series.colour, alpha=shade, linewidth=0, zorder=1.5
    )
    neighbours = np.concatenate([[False], known[:-1]]) | np.concatenate([known[1:], [False]])
    alone = known & ~neighbours  # a band needs two points side by side
    if alone.any():
        reach = np.clip([(y - low)[alone], (high - y)[alone]], 0.0, None)
        axes.errorbar(
            x[alone], y[alone], reach, fmt="none", ecolor=series.colour, capsize=2.5, lw=0.9
        )


def find_drawn(count: int) -> np.ndarray:
    """Which of so many points of a curve are drawn: all, or as many as can be told apart on paper,
    evenly spread."""
    return (
        np.arange(count)
        if count <= POINTS
        else np.linspace(0, count - 1, POINTS).round().astype(int)
    )


def group_alike(curves: dict[Series, np.ndarray]) -> list[list[Series]]:
    """Series by curve; those that run the same, but for rounding, together: one line would hide
    the next."""
    groups: list[list[Series]] = []
    for series, curve in curves.items():
        same = [
            group
            for group in groups
            if np.allclose(curves[group[0]], curve, rtol=0.03, equal_nan=True)
        ]
        if same:
            same[0].append(series)
        else:
            groups.append([series])
    return groups


def name_group(group: list[Series]) -> str:
    """What the legend calls series that run the same."""
    names = ", ".join(series.label for series in group)
    return f"{names}: alike" if len(group) > 1 else names


def format_signed(value: float, place: int | None = None) -> str:
    """A tick label of a difference."""
    return f"{value:+g}".replace("-", "−") if value else "0"


def find_shade(bands: int) -> float:
    """The opacity of bands, so that many of them do not hide the lines."""
    return 0.16 if bands <= 3 else 0.10


def draw_background(axes: Axes, curves: Sequence[tuple[Any, Any]]) -> None:
    """The curves of series of other panels, each as (x, y), in grey; as one line with gaps, which
    is drawn much faster than many."""
    parts: list[np.ndarray] = []
    for x, y in curves:
        drawn = find_drawn(len(x))
        points = np.array([np.asarray(x, dtype=float)[drawn], np.asarray(y, dtype=float)[drawn]])
        parts += [points, np.full((2, 1), np.nan)]
    if parts:
        x, y = np.concatenate(parts, axis=1)
        axes.plot(x, y, color=BACKGROUND, linewidth=0.7, zorder=1.2)


def draw_seeds(axes: Axes, x: pd.Series, y: pd.Series, series: Series, shift: float) -> None:
    """Single seeds as small marks beside their mean, `shift` points aside."""
    aside = matplotlib.transforms.ScaledTranslation(shift / 72, 0, axes.figure.dpi_scale_trans)
    axes.plot(
        x,
        y,
        linestyle="",
        marker=series.marker,
        markersize=SEED_SIZE,
        markeredgewidth=0,
        color=series.colour,
        alpha=0.75,
        transform=axes.transData + aside,
        zorder=4,
    )


def find_shifts(shown: list[Series]) -> dict[Series, float]:
    """How far beside their means the seeds of each series stand, in points."""
    return {
        series: (-1) ** index * (CLEAR + SEED_STEP * (index // 2))
        for index, series in enumerate(shown)
    }


DENSE_STYLE: dict[str, Any] = {"color": "black", "linestyle": (0, (6, 3)), "linewidth": 0.9}


def draw_dense(axes: Axes, cell: pd.Series, values: pd.Series) -> Line2D:
    """The unpruned network as a cross-hair: its mean and band over the whole width, its seeds at
    density 1."""
    draw_dense_level(axes, cell)
    axes.axvline(1.0, zorder=1.1, **(DENSE_STYLE | {"linewidth": 0.6}))
    if len(values) <= SEEDS:
        axes.plot(np.ones(len(values)), values, "_", color="black", ms=5, mew=0.8, zorder=4)
    return Line2D([], [], label="Dense", **DENSE_STYLE)


def draw_dense_level(axes: Axes, cell: pd.Series) -> Line2D:
    """The mean of the unpruned network and its band, over the whole width."""
    low, high = (float(end.iloc[0]) for end in find_band(cell.to_frame().T.infer_objects()))
    if pd.notna(low) and pd.notna(high):
        axes.axhspan(low, high, color="black", alpha=0.08, linewidth=0, zorder=1)
    axes.axhline(cell["mean"], zorder=2, **DENSE_STYLE)
    return Line2D([], [], label="Dense", **DENSE_STYLE)


def draw_random_pruning(axes: Axes, x: pd.Series, y: pd.Series, bottom: float) -> Line2D:
    """What uniformly random pruning reaches, as a grey area down to the frame."""
    drawn = find_drawn(len(x))
    x, y = x.iloc[drawn], y.iloc[drawn]
    axes.fill_between(x, bottom, y, color="0.5", alpha=0.13, linewidth=0, zorder=0.5)
    line_style: dict[str, Any] = {"color": "0.45", "linewidth": 1.0, "linestyle": (0, (1.5, 1))}
    axes.plot(x, y, zorder=1.4, **line_style)
    return Line2D([], [], label="Random pruning (grey area below)", **line_style)


def list_shared_entries(*, context: bool, references: bool) -> list[Line2D]:
    """The legend's entries of what is the same in all panels: the grey of other panels' methods,
    and magnitude as a thin line."""
    entries = []
    if references:
        entries.append(
            Line2D([], [], label="Magnitude, for comparison", color="#0072B2", linewidth=0.7)
        )
    if context:
        entries.append(
            Line2D([], [], label="methods of the other panels", color=BACKGROUND, linewidth=0.9)
        )
    return entries
