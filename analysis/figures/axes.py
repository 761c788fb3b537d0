"""The axes of a figure: ticks that can be read, limits that show all seeds."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from analysis.metrics import Metric
from analysis.series import format_sparsity

LETTER, GAP = (
    0.066,
    0.04,
)  # inches that a letter of a tick label takes at most, and between two labels


def find_ticks(lowest: float) -> list[float]:
    """Densities to label on an axis from 1 down to `lowest`: few enough to be read, at numbers
    people say."""
    if lowest > 0.28:
        ticks = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    elif lowest >= 0.8e-2:
        ticks = [m * 10.0**-e for e in range(3) for m in (1, 0.5, 0.2)]
    elif lowest >= 0.8e-3:
        ticks = [m * 10.0**-e for e in range(4) for m in (1, 0.5)]
    else:
        ticks = [10.0**-e for e in range(9)]
    return [tick for tick in ticks if tick >= lowest * 0.97]


def set_axis(axes: Axes, sparsities: pd.Series, *, label: bool = True) -> tuple[float, float]:
    """The x axis: logarithmic in density, dense left and sparse right, labelled by sparsity.
    Returns its limits."""
    lowest = float(1 - sparsities.max())
    lowest = lowest if 0 < lowest < 0.9 else 0.5
    axes.set_xscale("log")
    margin = lowest ** (-1 / 25)
    ticks = _thin_out(axes, find_ticks(lowest), np.log10(margin**2 / lowest))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(ticks, [f"{format_sparsity(round(1 - tick, 9))} %" for tick in ticks])
    if label:
        axes.set_xlabel("sparsity (axis logarithmic in density)")
    axes.grid(True)
    return margin, lowest / margin


def _thin_out(axes: Axes, ticks: list[float], decades: float) -> list[float]:
    """The ticks whose labels do not touch each other on an axis of so many decades; round densities
    come first."""
    figure = axes.get_figure()
    inches = axes.get_position().width * (
        figure.get_figwidth() if isinstance(figure, Figure) else 6.4
    )
    kept: list[tuple[float, float]] = []
    for tick in sorted(ticks, key=lambda one: (round(np.log10(one) % 1, 6) > 0, -one)):
        place = -np.log10(tick) / decades * inches
        half = (LETTER * len(f"{format_sparsity(round(1 - tick, 9))} %") + GAP) / 2
        if all(abs(place - other) > half + room for other, room in kept):
            kept.append((place, half))
    places = {place for place, _ in kept}
    return [tick for tick in ticks if -np.log10(tick) / decades * inches in places]


def find_limits(cells: pd.DataFrame, seeds: pd.Series, metric: Metric) -> tuple[float, float]:
    """The y axis: all seeds and means, and bands as far as either side adds no more than that
    height."""
    values = pd.concat([cells["mean"], seeds])
    low, high = float(values.min()), float(values.max())
    room = max(high - low, 1e-3 * max(abs(high), 1.0))
    half = cells["half_width"].fillna(0.0)
    low = min(low, max(float((cells["mean"] - half).min()), low - room))
    high = max(high, min(float((cells["mean"] + half).max()), high + room))
    margin = 0.05 * max(high - low, room)
    low, high = low - margin, high + margin
    return (max(low, -1.0), min(high, 101.0)) if metric.unit == "%" else (low, high)


def is_cut(cells: pd.DataFrame, limits: tuple[float, float]) -> bool:
    """Whether a band leaves the axis."""
    half = cells["half_width"].fillna(0.0)
    return bool(
        ((cells["mean"] - half) < limits[0]).any() or ((cells["mean"] + half) > limits[1]).any()
    )
