"""The axes of a figure: ticks at what was measured, as far as their labels can be read, and limits
that show all seeds."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from analysis.figures.marks import find_band
from analysis.metrics import Metric
from analysis.series import format_sparsity

# Inches that a letter of a tick label takes at most, and between two labels.
LETTER, GAP = 0.066, 0.04
DEPTH = 25.0  # points below the dense network that a y axis near it shows
CANDIDATES = 200  # places that ticks are chosen from, the most frequent ones
# By what share of the density a tick may stand beside a measured sparsity for a label of fewer
# digits: half a point on paper, where the axis has two decades.
BESIDE = 0.01


def find_ticks(places: pd.Series) -> list[float]:
    """Densities that ticks may stand at: 1, and those of the measured sparsities, as
    `round_sparsity` has them, the most frequent ones first."""
    exact = places.dropna().round(6).value_counts(sort=False)
    rounded = exact.index.map(round_sparsity).astype(float)
    counts = exact.groupby(rounded, sort=False).sum().reset_index()
    counts.columns = pd.Index(["place", "count"])
    # Where most methods share some sparsities, the ticks are not those of one that has its own.
    counts = counts[(counts["place"] < 1) & (counts["count"] > 0.25 * counts["count"].max())]
    # Of equally frequent ones the round numbers first, and then the outermost.
    counts["digits"] = [len(format_sparsity(place)) for place in counts["place"]]
    counts["outer"] = (counts["place"] - counts["place"].median()).abs()
    ranked = counts.sort_values(["count", "digits", "outer"], ascending=[False, True, False])
    densities = [float(round(1 - place, 9)) for place in ranked["place"].head(CANDIDATES)]
    return list(dict.fromkeys([1.0, *densities]))


def round_sparsity(sparsity: float) -> float:
    """The number of fewest digits that lies so near to a sparsity that paper does not show the
    difference: 50 % for 49.92 %, which a method that removes whole channels may reach."""
    for decimals in range(2, 9):
        rounded = round(sparsity, decimals)
        if abs(rounded - sparsity) <= BESIDE * (1 - sparsity):
            return rounded
    return sparsity


def set_axis(
    axes: Axes, sparsities: pd.Series, *, label: bool = True, dense: bool = True, aside: float = 0.0
) -> tuple[float, float]:
    """The x axis: logarithmic in density, dense left and sparse right, with ticks at the measured
    sparsities and, unless it is left out, at the dense network. Returns its limits, with room for
    marks that stand `aside` points right of the sparsest network."""
    lowest = float(1 - sparsities.max())
    lowest = lowest if 0 < lowest < 0.9 else 0.5
    axes.set_xscale("log")
    margin = lowest ** (-1 / 25)
    share = min(aside / 72 / _find_width(axes), 0.5)
    right = max(margin, (margin / lowest) ** (share / (1 - share)))
    candidates = find_ticks(sparsities) if dense else find_ticks(sparsities)[1:]
    ticks = _thin_out(axes, candidates, np.log10(margin * right / lowest))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    names = [f"{format_sparsity(round(1 - tick, 9))} %" for tick in ticks]
    axes.set_xticks(ticks, names if label else [""] * len(ticks))
    if label:
        axes.set_xlabel("sparsity (axis logarithmic in density)")
    axes.grid(True)
    return margin, lowest / right


def _find_width(axes: Axes) -> float:
    """The width of a panel in inches."""
    figure = axes.get_figure()
    width = figure.get_figwidth() if isinstance(figure, Figure) else 6.4
    return float(axes.get_position().width * width)


def _thin_out(axes: Axes, ticks: list[float], decades: float) -> list[float]:
    """The ticks whose labels do not touch each other on an axis of so many decades; the first ones
    come first."""
    inches = _find_width(axes)
    kept: list[tuple[float, float, float]] = []
    for tick in ticks:
        place = -np.log10(tick) / decades * inches
        half = (LETTER * len(f"{format_sparsity(round(1 - tick, 9))} %") + GAP) / 2
        if all(abs(place - other) > half + room for other, room, _ in kept):
            kept.append((place, half, tick))
    return sorted((tick for _, _, tick in kept), reverse=True)


def find_limits(cells: pd.DataFrame, seeds: pd.Series, metric: Metric) -> tuple[float, float]:
    """The y axis: all seeds and means, and bands as far as either side adds no more than that
    height."""
    low, high = find_finite_ends(pd.concat([cells["mean"], seeds]))
    room = max(high - low, 1e-3 * max(abs(high), 1.0))
    lower, upper = find_band(cells)
    low = _min_known(low, max(float(lower.min()), low - room))
    high = -_min_known(-high, -min(float(upper.max()), high + room))
    margin = 0.05 * max(high - low, room)
    low, high = low - margin, high + margin
    return (max(low, -1.0), min(high, 101.0)) if metric.unit == "%" else (low, high)


def find_finite_ends(values: pd.Series) -> tuple[float, float]:
    """The least and the largest of some values, without infinite ones, as the loss of a training
    that diverged; 0 and 1 where there is no other."""
    finite = values[np.isfinite(values.to_numpy(dtype=float))]
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)


def find_limits_near_dense(
    means: pd.Series, dense: pd.Series, metric: Metric
) -> tuple[float, float]:
    """A y axis that shows the dense network and what lies not too far from it: accuracies of
    collapsed networks would press all others together."""
    low, high = find_finite_ends(means)
    if len(dense):
        low, high = min(low, float(dense.iloc[0])), max(high, float(dense.iloc[0]))
    if metric.unit == "%":
        top = float(dense.iloc[0]) if len(dense) else high
        low = max(low, top - DEPTH)
    margin = 0.06 * max(high - low, 1e-3 * max(abs(high), 1e-3))
    return low - margin, high + margin


def _min_known(value: float, other: float) -> float:
    return value if np.isnan(other) else min(value, other)


def is_cut(cells: pd.DataFrame, limits: tuple[float, float]) -> bool:
    """Whether a band leaves the axis."""
    lower, upper = find_band(cells)
    return bool((lower < limits[0]).any() or (upper > limits[1]).any())
