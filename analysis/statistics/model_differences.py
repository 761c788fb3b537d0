"""Differences of pairs of cells from a variance model, each with its interval and p-value.

The interval of a pair is for 95 %, holds the plain difference, and holds 0 exactly where the
p-value (before any correction) is at least 0.05.

Accuracies are compared on the log-odds scale; where one seed of a cell lies far from its mean
(`FAR`), in points, too, and then the larger p-value and both intervals together count. Log-odds
alone make too much of a method that collapses with some seeds only: between 94 % eight times and
10 % twice lies a mean at which no network stands.
"""

from dataclasses import dataclass

import numpy as np

from analysis.statistics.model_intervals import NEGLIGIBLE, MeanVariances, take_cells
from analysis.statistics.t_mixture import TMixture
from analysis.statistics.variance_model import VarianceModel

FAR = 1.0  # in log-odds; deviations between seeds are about 0.2
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
    difference = means[0] - means[1]
    far = _find_far_cells(model)
    is_far = np.any([np.take_along_axis(far, positions, -1) for positions in cells], axis=0)
    if is_far.any():
        in_points = [
            _convert_to_points(model, side, place)
            for side, place in zip(sides, places, strict=True)
        ]
        mixture = _mix_pairs(*in_points, known=is_far & (n > 1))
        p = np.fmax(p, mixture.find_p_values(np.abs(difference)))
        if intervals:
            width = mixture.find_half_widths()
            low = np.fmin(low, np.maximum(difference - width, -100.0))
            high = np.fmax(high, np.minimum(difference + width, 100.0))
    return Differences(difference, low, high, p, n, paired)


def _find_far_cells(model: VarianceModel) -> np.ndarray:
    """Which cells have an accuracy that lies more than `FAR` from their mean, by the slope there;
    none of another metric."""
    if model.scale.images is None:
        return np.zeros(model.n.shape, dtype=bool)
    slope = model.scale.find_slopes(model.scale.place_values(model.mean))
    deviations = np.abs(model.values - model.mean[..., None]) / slope[..., None]
    return np.asarray((deviations > FAR).any(-1))


def _convert_to_points(
    model: VarianceModel, means: MeanVariances, places: np.ndarray
) -> MeanVariances:
    """The variances of accuracies in points instead of log-odds, by the slope at each place."""
    squared = model.scale.find_slopes(places)[..., None] ** 2
    return MeanVariances(
        means.weights, means.variances * squared, means.counted * squared, means.spread * squared**2
    )


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
