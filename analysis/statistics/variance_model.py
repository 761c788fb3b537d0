"""One model for all cells of a setting, from which their intervals and tests follow.

A table is an array (..., cells, seeds) of measured values, NaN where a cell lacks a seed; leading
axes are tables of their own. What is estimated of a cell is its mean over all seeds that one could
have drawn, on this test set. A cell's values are its mean, plus an effect of the seed that all
cells share, plus a deviation of their own, whose variance is drawn towards a prior that is fitted
to the whole table (`variance_prior`). Accuracies are compared on the log-odds scale, other metrics
on their own. docs/decisions/0015 has the reasons and what was simulated.
"""

from dataclasses import dataclass

import numpy as np

from analysis.statistics.accuracy_scale import ValueScale
from analysis.statistics.variance_prior import average_known, shrink_variances

ROUNDING = 1 / 12  # the variance that rounding to whole images makes, in images squared
FLAT = 1e-9  # deviations below this share of the mean are rounding errors
UNKNOWN_IMAGES = 1000  # taken where not even the accuracies say how many there are


@dataclass(frozen=True)
class VarianceModel:
    """A fitted table.

    values: as given. scale: where they are compared. mean: plain means over seeds. n: seeds of each
    cell. weights, variances (..., cells, components): the posterior of each cell's own variance, on
    the scale. freedom (..., cells, 1): the degrees of freedom of each of these variances. NaN
    throughout where n < 2. seed_variance (...): the variance of the seed effect. seed_freedom
    (...): its degrees of freedom.
    """

    values: np.ndarray
    scale: ValueScale
    mean: np.ndarray
    n: np.ndarray
    weights: np.ndarray
    variances: np.ndarray
    freedom: np.ndarray
    seed_variance: np.ndarray
    seed_freedom: np.ndarray


def fit_table(values: np.ndarray, *, images: int | None = None) -> VarianceModel:
    """The model of a table: of accuracies in percent of `images`, or without `images` of any other
    metric.

    Raises:
        ValueError: fewer than two axes, an infinite value, an accuracy outside 0 ... 100, or
            images < 1.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim < 2 or np.isinf(values).any():
        raise ValueError(f"a table is finite numbers of cells and seeds, but got {values.shape}")
    if images is not None and (
        images < 1 or np.nanmin(values, initial=0) < 0 or np.nanmax(values, initial=0) > 100
    ):
        raise ValueError(
            f"accuracies are 0 ... 100 % of at least one image, but got {images} images"
        )
    scale, seen = ValueScale(images), ~np.isnan(values)
    n = seen.sum(-1)
    mean = np.where(n > 0, np.where(seen, values, 0).sum(-1) / np.maximum(n, 1), np.nan)
    slope = scale.find_slopes(scale.place_values(mean))
    deviations = np.where(seen, values - mean[..., None], 0.0)
    tiny = np.abs(deviations) <= FLAT * np.maximum(np.abs(mean), 1e-3)[..., None]
    deviations = np.where(seen & ~tiny, deviations / slope[..., None], 0.0)
    own, freedom = remove_seed_effects(deviations, seen)
    spent = np.maximum((np.maximum(n - 1, 0) - freedom).sum(-1), 1)  # for the seed effects
    usable = (n > 1) & (freedom > 1e-6)
    variance = np.where(usable, (own**2).sum(-1) / np.where(usable, freedom, 1), np.nan)
    raw = np.where(usable, (deviations**2).sum(-1) / np.maximum(n - 1, 1), np.nan)
    seed_variance = np.maximum(average_known(raw - variance), 0.0)
    variance = np.maximum(variance, _find_least_variance(variance, slope, images))
    level = None if images is None else -np.log(images * slope / 100)
    posterior = shrink_variances(variance, np.where(usable, freedom, np.nan), level)
    return VarianceModel(values, scale, mean, n, *posterior, seed_variance, spent)


def remove_seed_effects(deviations: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Deviations (from the cells' means, 0 where not seen) less the least-squares effect of each
    seed, and the degrees of freedom that each cell keeps. Seeds that only one cell has have no
    effect that could be told from the cell's."""
    linked = np.where((seen.sum(-2) > 1)[..., None, :], seen, False) & (seen.sum(-1) > 1)[..., None]
    linked = np.where((linked.sum(-2) > 1)[..., None, :], linked, False)
    n = np.maximum(seen.sum(-1), 1)
    share = linked / n[..., None]
    normal = -np.swapaxes(linked, -1, -2).astype(float) @ share
    index = np.arange(seen.shape[-1])
    normal[..., index, index] += linked.sum(-2)
    inverse = np.linalg.pinv(normal, hermitian=True)
    effect = (inverse @ np.where(linked, deviations, 0).sum(-2)[..., None])[..., 0]
    shift = np.where(linked, effect[..., None, :], 0.0)
    own = np.where(seen, deviations - shift + shift.sum(-1, keepdims=True) / n[..., None], 0.0)
    # The trace of the projection on the seeds within each cell: the sum of c' A^- c over its
    # centred indicators c.
    weighted = linked.astype(float) @ inverse
    spent = np.where(linked, np.diagonal(inverse, axis1=-2, axis2=-1)[..., None, :], 0).sum(-1)
    spent = spent - (weighted * share).sum(-1)
    return own, np.maximum(seen.sum(-1) - 1 - spent, 0.0)


def guess_images(accuracies: np.ndarray) -> int:
    """How many test images accuracies in percent are of at least: as many as their smallest
    difference says. For rows that do not say it; too few only makes intervals wider."""
    distinct = np.unique(np.round(np.asarray(accuracies, dtype=float), 6))
    steps = np.diff(distinct[~np.isnan(distinct)])
    return int(np.clip(round(100 / steps.min()), 1, 10**6)) if len(steps) else UNKNOWN_IMAGES


def _find_least_variance(variance: np.ndarray, slope: np.ndarray, images: int | None) -> np.ndarray:
    """The least variance that is believed: that of rounding to whole images; of other metrics the
    smallest that is not 0."""
    if images is not None:
        return np.asarray(ROUNDING * (100 / images / slope) ** 2)
    positive = np.where(variance > 0, variance, np.inf).min(-1, keepdims=True)
    return np.where(np.isinf(positive), np.nan, positive)
