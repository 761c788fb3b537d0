"""The prior of variances: against Smyth's formula, a general optimiser and densities of scipy."""

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from scipy.special import digamma, softmax

from analysis.statistics import variance_prior
from analysis.statistics.variance_prior import shrink_variances


def test_one_component_is_the_moderated_variance_of_smyth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variance_prior, "SPREAD", np.zeros(1))
    variance, d, d0 = np.array([0.5, 1.0, 4.0]), 2.0, variance_prior.PRIOR_FREEDOM
    weights, posterior, freedom = shrink_variances(variance, np.full(3, d))
    log = np.log(1.0) - digamma(d / 2) + np.log(d / 2)
    prior = np.exp(log + digamma(d0 / 2) - np.log(d0 / 2))
    assert posterior[:, 0] == pytest.approx((d0 * prior + d * variance) / (d0 + d))
    assert weights.tolist() == [[1.0]] * 3
    assert freedom[:, 0].tolist() == [d0 + d] * 3


def test_the_prior_is_the_most_probable_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a general optimiser and the F densities of scipy."""
    monkeypatch.setattr(variance_prior, "SPREAD", np.log(4.0) * np.arange(-1, 3))
    monkeypatch.setattr(variance_prior, "ROUNDS", 5000)
    rng = np.random.default_rng(8)
    d, d0 = 2.0, variance_prior.PRIOR_FREEDOM
    variance = np.repeat([1.0, 12.0], 15) * rng.chisquare(d, 30) / d
    weights, posterior, _ = shrink_variances(variance, np.full(30, d))
    scales = ((d0 + d) * posterior - d * variance[:, None])[0] / d0
    density = scipy.stats.f.pdf(variance[:, None] / scales, d, d0) / scales
    belief = variance_prior.BELIEF / 30

    def lose(free: np.ndarray) -> float:
        shares = softmax(free)
        return -np.log(density @ shares).sum() - belief * np.log(shares).sum()

    shares = softmax(scipy.optimize.minimize(lose, np.zeros(4), tol=1e-12).x)
    expected = density * shares / (density @ shares)[:, None]
    assert weights == pytest.approx(expected, abs=1e-4)


def test_variances_that_rise_with_the_level_are_followed() -> None:
    rng = np.random.default_rng(2)
    level = np.linspace(-4, 0, 400)
    for rise, expected in ((0.7, 0.7), (-1.0, 0.0), (3.0, 1.0)):
        variance = np.exp(rise * level) * rng.chisquare(4, 400) / 4
        _, posterior, _ = shrink_variances(variance, np.full(400, 4.0), level)
        scale = (12 * posterior - 4 * variance[:, None]) / 8
        slope = np.polyfit(level, np.log(scale[:, 3]), 1)[0]
        assert slope == pytest.approx(expected, abs=0.12)


def test_unknown_variances_stay_unknown_and_do_not_count() -> None:
    variance = np.array([1.0, np.nan, 2.0])
    weights, posterior, freedom = shrink_variances(variance, np.array([2.0, np.nan, 2.0]))
    alone = shrink_variances(variance[[0, 2]], np.full(2, 2.0))
    assert (
        np.isnan(weights[1]).all() and np.isnan(posterior[1]).all() and np.isnan(freedom[1]).all()
    )
    assert posterior[[0, 2]] == pytest.approx(alone[1])
    assert weights[[0, 2]] == pytest.approx(alone[0])
