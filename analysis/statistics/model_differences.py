"""Differences of pairs of cells from a variance model, each with its interval and p-value.

The interval of a pair is for 95 %, holds the plain difference, and holds 0 exactly where the
p-value (before any correction) is at least 0.05.
"""

from dataclasses import dataclass

import numpy as np

from analysis.statistics.model_intervals import NEGLIGIBLE, MeanVariances, take_cells
from analysis.statistics.t_mixture import TMixture
from analysis.statistics.variance_model import VarianceModel

DIRECTIONS = np.linspace(0, 2 * np.pi, 180, endpoint=False)


@dataclass(frozen=True)
class Differences:
    """The first less the second cell of each pair: of the plain means over shared seeds where there
    are at least two, or the only one of a cell (`paired`), else over all seeds of each. n: the
    seeds behind it, the fewer of both. NaN where one of the means is missing; low, high and p are
    NaN, too, where n < 2 or no cell of the table varies at all."""

    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    n: np.ndarray
    paired: np.ndarray


def compare_pairs(
    model: VarianceModel, first: np.ndarray, second: np.ndarray, *, intervals: bool = True
) -> Differences:
    """Test pairs of cells of a table, given by two arrays (..., pairs) of positions.

    Without `intervals`, low and high are NaN.
    """
    cells = [np.asarray(positions, dtype=int) for positions in (first, second)]
    x, y = (np.take_along_axis(model.values, positions[..., None], -2) for positions in cells)
    shared = ~np.isnan(x) & ~np.isnan(y)
    single = np.minimum((~np.isnan(x)).sum(-1), (~np.isnan(y)).sum(-1)) == 1
    paired = shared.sum(-1) >= np.where(single, 1, 2)
    x, y = (np.where(~paired[..., None] | shared, values, np.nan) for values in (x, y))
    counts = [(~np.isnan(values)).sum(-1) for values in (x, y)]
    means = [
        np.where(n > 0, np.nansum(values, -1) / np.maximum(n, 1), np.nan)
        for values, n in zip((x, y), counts, strict=True)
    ]
    places = [model.scale.place_values(mean) for mean in means]
    # Pairing takes the seed effect out.
    seed = np.where(paired, 0.0, model.seed_variance[..., None])
    sides = [
        take_cells(model, positions, n, seed) for positions, n in zip(cells, counts, strict=True)
    ]
    n = np.minimum(*counts)
    mixture = _mix_pairs(*sides, known=n > 1)
    low = high = np.full(n.shape, np.nan)
    if intervals:
        common = np.where(paired, model.seed_variance[..., None] / np.maximum(n, 1), 0.0)
        variances = [side.mean for side in sides]
        low, high = _enclose(model, places, variances, mixture.find_half_widths(), common)
    p = mixture.find_p_values(np.abs(places[0] - places[1]))
    return Differences(means[0] - means[1], low, high, p, n, paired)


def _mix_pairs(first: MeanVariances, second: MeanVariances, *, known: np.ndarray) -> TMixture:
    """The mixture of the difference of each pair that is known: all combinations of components."""
    parts: list[tuple[np.ndarray, ...]] = []
    a, b = (
        [part.reshape(-1, part.shape[-1]) for part in vars(side).values()]
        for side in (first, second)
    )
    for i in range(a[0].shape[1]):
        for j in range(b[0].shape[1]):
            weight = a[0][:, i] * b[0][:, j]
            case = np.flatnonzero((weight > NEGLIGIBLE) & known.ravel())
            total, counted, spread = (
                of_first[case, i] + of_second[case, j]
                for of_first, of_second in zip(a[1:], b[1:], strict=True)
            )
            parts.append((case, weight[case], total, counted**2 / spread))
    case, weight, total, freedom = (np.concatenate(part) for part in zip(*parts, strict=True))
    return TMixture(known.shape, case, weight, total, freedom)


def _enclose(
    model: VarianceModel,
    places: list[np.ndarray],
    variances: list[np.ndarray],
    width: np.ndarray,
    common: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The interval of the difference of two means: the range of that difference on an ellipse
    around both places.

    Across the line where both are equal the ellipse reaches as far as the test does (`width`),
    shared between the two by their variances; along it, it is longer by what a seed moves both
    (`common`). So the interval holds 0 exactly where the ellipse meets that line (a profile
    interval); between places that differ much it follows from the slopes of the scale at either, as
    the delta method would.
    """
    total = variances[0] + variances[1]
    common = width**2 * common / total
    a, b = (width**2 * variance / total + common for variance in variances)
    down, across = common / np.sqrt(a), np.sqrt(np.maximum(b - common**2 / a, 0.0))
    # Besides a ring of directions, those in which the ellipse is exactly furthest from the line.
    steep = np.arctan2(-across, np.sqrt(a) - down)
    low, high = np.full(width.shape, np.inf), np.full(width.shape, -np.inf)
    for angle in [*DIRECTIONS, steep, steep + np.pi]:
        x = places[0] + np.sqrt(a) * np.cos(angle)
        y = places[1] + down * np.cos(angle) + across * np.sin(angle)
        difference = model.scale.read_values(x) - model.scale.read_values(y)
        low, high = np.fmin(low, difference), np.fmax(high, difference)
    return np.where(np.isnan(width), np.nan, low), np.where(np.isnan(width), np.nan, high)
