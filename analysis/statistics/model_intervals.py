"""Intervals of single cells from a variance model: never outside 0 ... 100 for accuracies, never of
width 0, none of one seed.

All intervals are for 95 % and hold the plain mean. Where variances are added up, the degrees of
freedom are Satterthwaite's (Welch 1947).
"""

from dataclasses import dataclass

import numpy as np

from analysis.statistics.intervals_and_tests import CONFIDENCE
from analysis.statistics.t_mixture import TMixture
from analysis.statistics.variance_model import VarianceModel

# The variance of the seed effect counts this many times in the degrees of freedom, not in the
# widths. It is known from n values only, however many cells there are; counted once, intervals at
# n = 3 cover 92 % where the seed effect is large.
CAUTION = 3.0
NEGLIGIBLE = 1e-8  # components less probable than this are left out


@dataclass(frozen=True)
class MeanVariances:
    """The variances of some means, by component of their posterior: `weights`, `variances`, and for
    the degrees of freedom `counted` (variances with the caution) and `spread` (their squares over
    their degrees of freedom)."""

    weights: np.ndarray
    variances: np.ndarray
    counted: np.ndarray
    spread: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """The posterior mean of each variance."""
        return np.asarray((self.weights * self.variances).sum(-1))


def find_intervals(model: VarianceModel) -> tuple[np.ndarray, np.ndarray]:
    """The low and the high end of each cell's interval; NaN where n < 2."""
    width = _mix_cells(model).find_half_widths()
    place = model.scale.place_values(model.mean)
    return model.scale.read_values(place - width), model.scale.read_values(place + width)


def find_coverage(model: VarianceModel, truth: np.ndarray) -> np.ndarray:
    """Whether the intervals hold some true means: 1 or 0, NaN where n < 2. Much faster than
    `find_intervals`; for simulations."""
    gap = np.abs(model.scale.place_values(model.mean) - model.scale.place_values(truth))
    p = _mix_cells(model).find_p_values(gap)
    return np.where(np.isnan(p), np.nan, p >= 1 - CONFIDENCE)


def take_cells(
    model: VarianceModel, cells: np.ndarray, n: np.ndarray, seed_variance: np.ndarray
) -> MeanVariances:
    """The variances of the means of cells at some positions over n values each, with the variance
    of the seed effect where it counts."""
    weights, variances, freedom = (
        np.take_along_axis(component, cells[..., None], -2)
        for component in (model.weights, model.variances, model.freedom)
    )
    count = np.maximum(n, 1)[..., None]
    own, seed = variances / count, seed_variance[..., None] / count
    careful = CAUTION * seed
    spread = own**2 / freedom + careful**2 / model.seed_freedom[..., None, None]
    return MeanVariances(weights, own + seed, own + careful, spread)


def _mix_cells(model: VarianceModel) -> TMixture:
    """The mixture of each cell's mean."""
    cells = np.broadcast_to(np.arange(model.n.shape[-1]), model.n.shape)
    seed_variance = np.broadcast_to(model.seed_variance[..., None], model.n.shape)
    means = take_cells(model, cells, model.n, seed_variance)
    kept = np.flatnonzero(means.weights.ravel() > NEGLIGIBLE)
    parts = (means.weights, means.variances, means.counted, means.spread)
    weight, variance, counted, spread = (np.ravel(part)[kept] for part in parts)
    case = kept // means.weights.shape[-1]
    return TMixture(cells.shape, case, weight, variance, counted**2 / spread)
