"""Each cell's variance, drawn towards a prior that is fitted to all cells of its table.

With three seeds the variance of one cell is known badly, that of a hundred cells together well: the
moderated t of Smyth (2004). One inverse chi-squared prior, as there, is too light-tailed where
methods differ by a factor of ten; so the prior is a mixture of them (Lu & Stephens 2016).

Smyth (2004), Linear models and empirical Bayes methods for assessing differential expression in
    microarray experiments, Stat. Appl. Genet. Mol. Biol. 3(1).
Lu & Stephens (2016), Variance adaptive shrinkage (vash), Bioinformatics 32(22).
"""

import numpy as np
from scipy.special import digamma

PRIOR_FREEDOM = 8.0  # degrees of freedom of each component of the prior
# The components' scales, as logarithms of their ratio to the variance of the median cell.
SPREAD = np.log(4.0) * np.arange(-3, 11)
# Each component of the prior counts as if it had been seen in BELIEF / (number of cells) cells
# beforehand, within these bounds. More makes tests less sensitive; without it the prior of a small
# table is wrong too often.
BELIEF, LEAST, MOST = 6.5, 0.08, 0.5
ROUNDS = 40  # of expectation and maximisation; 2,000 change p-values by at most a tenth of them


def shrink_variances(
    variance: np.ndarray, freedom: np.ndarray, level: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The posterior of each variance (..., cells) under a prior fitted to all of them: weights,
    variances (..., cells, components) and degrees of freedom (..., cells, 1). NaN stays NaN and
    does not count.

    With `level`, log variances may rise with it, by at most as much as it: the level of an accuracy
    is the log variance of drawing images, so the prior lies between constant log-odds and the
    binomial distribution. The weights of the components are the most probable ones under a
    Dirichlet prior (`BELIEF`), which keeps wild cells possible however calm a small table looks.
    """
    known = ~np.isnan(variance)
    half = np.where(known, freedom, 1.0) / 2
    start = np.where(known, variance, 1.0)
    logs = np.where(known, np.log(start) - digamma(half) + np.log(half), np.nan)
    rise = _find_rise(logs, level)
    middle = _take_median(logs - rise)
    half_prior = PRIOR_FREEDOM / 2
    centre = middle[..., None] + rise[..., None] + digamma(half_prior) - np.log(half_prior)
    prior = np.exp(centre + SPREAD)
    ratio = half[..., None] * start[..., None] / (half_prior * prior)
    fits = -half[..., None] * np.log(prior) - (half[..., None] + half_prior) * np.log1p(ratio)
    fits = np.where(known[..., None], np.exp(fits - fits.max(-1, keepdims=True)), 0.0)
    belief = np.clip(BELIEF / np.maximum(known.sum(-1), 1), LEAST, MOST)[..., None, None]
    shares = np.full((*variance.shape[:-1], 1, len(SPREAD)), 1 / len(SPREAD))
    for _ in range(ROUNDS):
        shares = _find_probabilities(fits, shares).sum(-2, keepdims=True) + belief
        shares /= shares.sum(-1, keepdims=True)
    shape = np.where(known, 1.0, np.nan)[..., None]
    total = 2 * half[..., None] + PRIOR_FREEDOM
    posterior = (PRIOR_FREEDOM * prior + 2 * half[..., None] * start[..., None]) / total
    return _find_probabilities(fits, shares) * shape, posterior * shape, total * shape


def average_known(values: np.ndarray) -> np.ndarray:
    """The mean over the last axis of what is not NaN; 0 where all of it is."""
    known = ~np.isnan(values)
    return np.asarray(np.where(known, values, 0.0).sum(-1) / np.maximum(known.sum(-1), 1))


def _find_probabilities(fits: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """How probable each component is for each cell."""
    both = fits * shares
    return np.asarray(both / np.maximum(both.sum(-1, keepdims=True), 1e-300))


def _find_rise(logs: np.ndarray, level: np.ndarray | None) -> np.ndarray:
    """The part of log variances that their level explains: a least-squares slope, kept within 0 and
    1."""
    if level is None:
        return np.zeros_like(logs)
    known = ~np.isnan(logs)
    level = np.where(np.isnan(level), 0.0, level)
    centred = level - average_known(np.where(known, level, np.nan))[..., None]
    centred = np.where(known, centred, 0.0)
    squares = np.maximum((centred**2).sum(-1, keepdims=True), 1e-9)
    slope = (centred * np.where(known, logs, 0.0)).sum(-1, keepdims=True) / squares
    return np.asarray(np.clip(slope, 0, 1) * centred)


def _take_median(values: np.ndarray) -> np.ndarray:
    """The median over the last axis of what is not NaN, with that axis kept; 0 where all is."""
    ordered = np.sort(values, axis=-1)  # NaN come last
    count = (~np.isnan(values)).sum(-1, keepdims=True)
    low, high = np.maximum(count - 1, 0) // 2, np.maximum(count // 2, 0)
    last = values.shape[-1] - 1
    ends = [np.take_along_axis(ordered, np.minimum(position, last), -1) for position in (low, high)]
    return np.where(count > 0, (ends[0] + ends[1]) / 2, 0.0)
