"""The rule that was proposed and not taken: one inverse chi-squared prior with at most 4 degrees of
freedom; for `significance.py`."""

import numpy as np
from scipy.special import digamma, logit, polygamma, stdtr, stdtrit


def invert_trigamma(value: np.ndarray) -> np.ndarray:
    """Where the trigamma function has a value > 0, by Newton's method (Smyth 2004, appendix)."""
    value = np.asarray(value, dtype=float)
    place = 0.5 + 1 / value
    for _ in range(50):
        trigamma = polygamma(1, place)
        place = place + trigamma * (1 - trigamma / value) / polygamma(2, place)
    return np.where(value > 1e7, 1 / np.sqrt(value), np.where(value < 1e-6, 1 / value, place))


def fit_single_prior(
    variance: np.ndarray, freedom: float, cap: float = np.inf
) -> tuple[np.ndarray, np.ndarray]:
    """Degrees of freedom (at most `cap`) and scale of the prior of variances > 0 along the last
    axis: limma's fitFDist without a trend (Smyth 2004, section 6.2)."""
    logs = np.log(variance) - digamma(freedom / 2) + np.log(freedom / 2)
    middle = logs.mean(-1, keepdims=True)
    excess = logs.var(-1, ddof=1, keepdims=True) - polygamma(1, freedom / 2)
    prior = np.where(excess > 1e-6, 2 * invert_trigamma(np.maximum(excess, 1e-6)), np.inf)
    prior = np.minimum(prior, cap)
    half = np.where(np.isinf(prior), 1.0, prior) / 2
    scale = np.where(np.isinf(prior), np.exp(middle), np.exp(middle + digamma(half) - np.log(half)))
    return prior, scale


def apply_single_prior(
    values: np.ndarray,
    truth: np.ndarray,
    images: int,
    *pairs: tuple[np.ndarray, np.ndarray],
    cap: float = 4.0,
) -> tuple[np.ndarray, ...]:
    """p-values of each set of pairs of cells of complete tables (tables, cells, seeds), and which
    intervals cover."""
    right, n = values / 100 * images, values.shape[-1]
    logs = np.log((right + 0.5) / (images - right + 0.5))
    mean = logs.mean(-1)
    own = logs - mean[..., None]
    free = (n - 1) * (1 - 1 / values.shape[1])
    floor = 1e-6
    raw = np.maximum((own**2).sum(-1) / (n - 1), floor)
    variance = np.maximum(((own - own.mean(1, keepdims=True)) ** 2).sum(-1) / free, floor)
    prior, scale = fit_single_prior(variance, free, cap)
    moderated = (prior * scale + free * variance) / (prior + free)
    p_values = []
    for first, second in pairs:
        a, b = (np.take_along_axis(moderated, cells, 1) for cells in (first, second))
        freedom = (prior + free) * (a + b) ** 2 / (a**2 + b**2)
        gap = np.take_along_axis(mean, first, 1) - np.take_along_axis(mean, second, 1)
        p_values.append(2 * stdtr(freedom, -np.abs(gap) / np.sqrt((a + b) / n)))
    prior, scale = fit_single_prior(raw, n - 1.0, cap)
    half = stdtrit(prior + n - 1, 0.975) * np.sqrt(
        (prior * scale + (n - 1) * raw) / (prior + n - 1) / n
    )
    return *p_values, np.abs(mean - logit(truth / 100)) <= half
