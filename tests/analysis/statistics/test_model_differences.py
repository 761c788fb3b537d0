"""Differences of pairs of cells: against Welch's and the paired test of scipy, and their
intervals."""

import numpy as np
import pytest
import scipy.stats

from analysis.statistics import model_differences, variance_prior
from analysis.statistics.model_differences import compare_pairs
from analysis.statistics.variance_model import fit_table
from tests.analysis.statistics.made_up_tables import make_table

MORE = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 10)]


@pytest.mark.parametrize("images", [359, None])
@pytest.mark.parametrize("seed", [0, 1, *MORE])
def test_the_interval_of_a_difference_says_what_its_test_says(
    seed: int, images: int | None
) -> None:
    rng = np.random.default_rng(seed)
    table = make_table(rng, cells=40)
    table[rng.random(table.shape) < 0.1] = np.nan
    first, second = np.triu_indices(40, 1)
    found = compare_pairs(fit_table(table, images=images), first, second)
    known = ~np.isnan(found.p)
    assert known.sum() > 500
    assert ((found.low > 0) | (found.high < 0))[known].tolist() == (found.p < 0.05)[known].tolist()
    assert ((found.low - 1e-9 <= found.difference) & (found.difference <= found.high + 1e-9))[
        known
    ].all()
    assert np.isnan(found.low[~known]).all()
    assert images is None or (np.abs([found.low[known], found.high[known]]) <= 100).all()


def test_the_interval_of_a_difference_is_a_range_on_the_ellipse() -> None:
    """Small spreads: the delta method; any: both mirror images."""
    rng = np.random.default_rng(3)
    values = np.array([97.0, 90, 60, 20])[:, None] + 0.02 * rng.standard_normal((4, 3))
    model = fit_table(values, images=10**7)
    found = compare_pairs(model, np.array([0, 1]), np.array([2, 3]))
    middle = (found.low + found.high) / 2
    assert middle == pytest.approx(found.difference, abs=1e-3)
    mirrored = compare_pairs(model, np.array([2, 3]), np.array([0, 1]))
    assert mirrored.low == pytest.approx(-found.high, abs=1e-3)
    assert mirrored.p == pytest.approx(found.p)


def test_one_component_is_the_test_of_welch(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a prior worth nothing and no shared seeds: Welch's t of scipy."""
    monkeypatch.setattr(variance_prior, "SPREAD", np.zeros(1))
    monkeypatch.setattr(variance_prior, "PRIOR_FREEDOM", 0.004)
    table = np.full((2, 9), np.nan)
    table[0, :4], table[1, 4:] = [3.0, 5, 4, 9], [1.0, 2, 1, 3, 2]
    found = compare_pairs(fit_table(table), np.array([0]), np.array([1]))
    known = scipy.stats.ttest_ind(table[0, :4], table[1, 4:], equal_var=False)
    assert found.p.item() == pytest.approx(known.pvalue, rel=0.02)
    low, high = known.confidence_interval()
    assert (found.low.item(), found.high.item()) == pytest.approx((low, high), rel=0.02)
    assert not found.paired.item() and found.n.item() == 4


def test_two_cells_of_a_table_are_the_paired_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cells with a prior worth nothing: the seed effect leaves the paired t of scipy."""
    monkeypatch.setattr(variance_prior, "SPREAD", np.zeros(1))
    monkeypatch.setattr(variance_prior, "PRIOR_FREEDOM", 0.004)
    table = np.array([[3.0, 5, 4, 9], [2.0, 5, 2, 6]])
    found = compare_pairs(fit_table(table), np.array([0]), np.array([1]))
    assert found.p.item() == pytest.approx(scipy.stats.ttest_rel(*table).pvalue, rel=0.02)
    assert found.paired.item()


def test_ties_are_neither_certain_nor_an_error() -> None:
    """Three equal differences: p = 0 by the paired test. All equal: p = 1."""
    rng = np.random.default_rng(5)
    table = make_table(rng, cells=20)
    table[0] = 100 * np.array([340, 342, 341]) / 359
    table[1], table[2] = table[0] - 100 / 359, table[0]
    found = compare_pairs(fit_table(table, images=359), np.array([1, 2]), np.array([0, 0]))
    assert 0.2 < found.p[0] < 1
    assert found.p[1] == 1
    assert found.low[1] < 0 < found.high[1]


def test_a_method_that_collapses_with_some_seeds_is_tested_in_points_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten seeds of 94 %, and eight, the other two at 10 %: the paired t has p = 0.17."""
    rng = np.random.default_rng(1)
    table = 94 + 0.15 * rng.standard_normal((16, 10))
    for cell in range(1, 16, 3):
        table[cell, rng.choice(10, 2, replace=False)] = 10.0
    model = fit_table(np.round(table, 2), images=10_000)
    first, second = np.array([1, 3]), np.array([0, 0])
    found = compare_pairs(model, first, second)
    assert found.p[0] == pytest.approx(scipy.stats.ttest_rel(table[1], table[0]).pvalue, abs=0.05)
    assert found.low[0] < found.difference[0] < 0 < found.high[0]
    monkeypatch.setattr(model_differences, "FAR", np.inf)
    log_odds_alone = compare_pairs(model, first, second)
    assert log_odds_alone.p[0] < 0.05 and log_odds_alone.high[0] < 0
    assert log_odds_alone.p[1] == found.p[1], "steady cells are compared as before"
