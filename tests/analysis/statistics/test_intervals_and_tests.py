"""Intervals and tests against scipy.stats, against worked examples, and by simulation."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from analysis.statistics.aggregate import aggregate_cells
from analysis.statistics.intervals_and_tests import (
    BOOTSTRAP_COVERAGE,
    Interval,
    adjust_holm,
    bootstrap_interval,
    find_bootstrap_coverage,
    p_value,
    t_interval,
    wilson_interval,
)


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_interval_is_that_of_scipy(n: int) -> None:
    values = np.random.default_rng(n).normal(93, 0.4, n)
    found = t_interval(values)
    low, high = scipy.stats.t.interval(
        0.95, n - 1, loc=values.mean(), scale=scipy.stats.sem(values)
    )
    assert found.n == n
    assert found.half_width is not None
    assert found.mean - found.half_width == pytest.approx(low, abs=1e-12)
    assert found.mean + found.half_width == pytest.approx(high, abs=1e-12)


def test_one_value_has_no_interval() -> None:
    assert t_interval([93.0]) == Interval(93.0, None, 1)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf")]])
def test_no_interval_of_nothing(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one value, all finite"):
        t_interval(values)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_coverage(n: int) -> None:
    """10,000 studies at once, each one cell. Binomial standard error: 0.22 points."""
    studies = 10_000
    identity = dict.fromkeys(["model", "recipe", "method", "knobs", "stage", "level"], 0)
    rows = pd.DataFrame({"dataset": np.repeat(np.arange(studies), n), **identity, "sparsity": 0.5})
    rows["seed"] = np.tile(np.arange(n), studies)
    rows["test_top1"] = np.random.default_rng(7).normal(0.0, 1.0, studies * n)
    cells = aggregate_cells(rows, "test_top1")
    assert len(cells) == studies
    assert 0.94 < (cells["mean"].abs() <= cells["half_width"]).mean() < 0.96


def test_the_p_value_is_that_of_scipy() -> None:
    rng = np.random.default_rng(5)
    for n in (2, 3, 5, 30):
        values = rng.normal(0.3, 1.0, n)
        found = p_value(values.mean(), values.std(ddof=1), n)
        assert float(found) == pytest.approx(scipy.stats.ttest_1samp(values, 0.0).pvalue, abs=1e-12)


def test_no_p_value_of_one_and_a_certain_one_without_spread() -> None:
    assert np.isnan(p_value(1.0, np.nan, 1))
    assert p_value(-2.5, 0.0, 3) == 0.0
    assert p_value(0.0, 0.0, 3) == 1.0
    assert np.isnan(p_value(1.0, 0.0, 1))
    assert p_value(0.0, 0.0, 2) == 1.0
    # 0.1 three times over has a standard deviation of 1e-17, which is no spread.
    assert p_value(0.1, np.std([0.1, 0.1, 0.1 + 1e-17], ddof=1), 3) == 0.0


def test_no_spread_is_one_that_rounding_makes_of_the_mean() -> None:
    assert p_value(93.0, 5e-8, 3) == 0.0
    small = np.array([0.9999e-6, 1e-6, 1.0001e-6])
    known = scipy.stats.ttest_1samp(small, 0.0).pvalue
    assert float(p_value(small.mean(), small.std(ddof=1), 3)) == pytest.approx(known, rel=1e-6)


@pytest.mark.filterwarnings("error")
def test_p_values_without_spread_come_without_warnings() -> None:
    assert p_value(np.array([2.0, 0.0]), np.zeros(2), np.array([3, 3])) == pytest.approx([0.0, 1.0])


def test_holm_is_the_worked_example() -> None:
    """Four p-values; 4 x 0.005, 3 x 0.01, 2 x 0.03, and 0.04 is lifted to the one before it."""
    assert adjust_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx(
        [0.03, 0.06, 0.06, 0.02], abs=1e-12
    )


def test_holm_of_r() -> None:
    """p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm") of R."""
    assert adjust_holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx(
        [0.05, 0.08, 0.09, 0.09, 0.09], abs=1e-12
    )


def test_holm_ends_at_one_and_leaves_out_what_was_not_tested() -> None:
    adjusted = adjust_holm([0.6, np.nan, 0.02, 0.7])
    assert adjusted[[0, 2, 3]] == pytest.approx([1.0, 0.06, 1.0], abs=1e-12)
    assert np.isnan(adjusted[1])
    assert len(adjust_holm([])) == 0


def test_holm_keeps_its_promise() -> None:
    """20 true null hypotheses a study: at most 5 % of studies separate any, where plain p-values do
    in 64 %."""
    rng = np.random.default_rng(11)
    values = rng.normal(0, 1, (2000, 20, 5))
    p = p_value(values.mean(axis=2), values.std(axis=2, ddof=1), 5)
    wrong = np.mean([(adjust_holm(p_values) < 0.05).any() for p_values in p])
    assert 0.035 < wrong < 0.062
    assert (p < 0.05).any(axis=1).mean() > 0.5


@pytest.mark.parametrize("n", [3, 5, 10])
def test_paired_differences_cover(n: int) -> None:
    """Two methods that share what a seed does: the interval of the difference covers, and is the
    narrower one."""
    rng = np.random.default_rng(n)
    hits, narrower = 0, 0
    for _ in range(3000):
        shared = rng.normal(0, 1, n)
        a, b = (shared + rng.normal(mean, 0.3, n) for mean in (0.5, 0.0))
        paired, alone = t_interval(a - b), t_interval(a)
        assert paired.half_width is not None and alone.half_width is not None
        hits += abs(paired.mean - 0.5) <= paired.half_width
        narrower += paired.half_width < alone.half_width
    assert 0.938 < hits / 3000 < 0.962  # binomial standard error: 0.4 points
    assert narrower > 2000


@pytest.mark.parametrize("n", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 5)), 10])
def test_the_bootstrap_covers_as_often_as_its_tables_say(n: int) -> None:
    rng = np.random.default_rng(n)
    intervals = [bootstrap_interval(rng.normal(0, 1, n), seed=index) for index in range(1000)]
    covered = 100 * np.mean(
        [interval is not None and interval[0] <= 0 <= interval[1] for interval in intervals]
    )
    assert covered == pytest.approx(
        BOOTSTRAP_COVERAGE[n], abs=5
    )  # binomial standard error: 1.6 points
    assert covered < 94.5


def test_the_bootstrap_of_three_is_their_range_and_of_one_nothing() -> None:
    """All three picks are the same one with probability 1/27, which is more than 2.5 %."""
    assert bootstrap_interval([3.0, 1.0, 2.0]) == pytest.approx((1.0, 3.0))
    assert bootstrap_interval([3.0]) is None
    with pytest.raises(ValueError, match="all finite"):
        bootstrap_interval([])


def test_the_bootstrap_of_ones_and_zeros_ends_at_the_quantiles_of_the_binomial() -> None:
    """Ten of 20 values are 1: a resampled mean is a binomial count of 20 at 1/2, over 20."""
    low, high = scipy.stats.binom.ppf([0.025, 0.975], 20, 0.5) / 20
    assert bootstrap_interval([0.0, 1.0] * 10) == pytest.approx((low, high), abs=1e-12)


def test_the_bootstrap_is_the_same_each_time_and_begins_at_seed_0() -> None:
    values = np.random.default_rng(1).normal(0, 1, 8)
    assert (
        bootstrap_interval(values)
        == bootstrap_interval(values, seed=0)
        == bootstrap_interval(values, seed=0)
    )
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=0)


def test_coverage_of_other_numbers_is_that_of_the_next_smaller() -> None:
    assert [find_bootstrap_coverage(n) for n in (2, 3, 7, 10, 1000)] == [50, 75, 84, 90, 93]


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (143, 143), (99, 143), (9930, 10_000)])
def test_the_wilson_interval_is_that_of_scipy(right: int, n: int) -> None:
    known = scipy.stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson_interval(right / n, n) == pytest.approx((known.low, known.high), abs=1e-12)


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="but got 1.2 of 3"):
        wilson_interval(1.2, 3)
    for n in (0, -1):
        with pytest.raises(ValueError, match=f"at least 1 trial, but got 0.5 of {n}"):
            wilson_interval(0.5, n)


def test_one_trial_has_a_wilson_interval() -> None:
    """By hand with z = 1.959964: 1 / (1 + z^2) is where that of one right image begins."""
    assert all(
        wilson_interval(1.0, n)[1] <= 1 and wilson_interval(0.0, n)[0] >= 0 for n in range(1, 300)
    )
    assert wilson_interval(1.0, 1) == pytest.approx(
        (1 / (1 + 1.959963984540054**2), 1.0), abs=1e-12
    )
