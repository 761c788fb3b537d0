"""Intervals of cells: within their range, never of width 0, none of one seed.

Covers: analysis/statistics/t_mixture.py.
"""

import numpy as np
import pytest

from analysis.statistics.model_differences import compare_pairs
from analysis.statistics.model_intervals import find_coverage, find_intervals
from analysis.statistics.variance_model import fit_table
from tests.analysis.statistics.made_up_tables import make_table


@pytest.mark.parametrize("seed", range(20))
def test_intervals_hold_the_plain_mean_within_the_range(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = make_table(rng, seeds=2 + seed % 3)
    table[0], table[1], table[2] = 100.0, 0.0, table[2, 0]
    model = fit_table(table, images=359)
    low, high = find_intervals(model)
    assert (low >= 0).all() and (high <= 100).all()
    assert (high - low > 0.05).all()
    assert (low <= table.mean(1) + 1e-9).all() and (high >= table.mean(1) - 1e-9).all()
    for truth, inside in ((low + 1e-4, 1), (high - 1e-4, 1), (low - 1e-4, 0), (high + 1e-4, 0)):
        strict = (low > 1e-3) & (high < 100 - 1e-3)
        assert (find_coverage(model, truth)[strict] == inside).all()


def test_two_seeds_are_wide_and_one_has_nothing() -> None:
    rng = np.random.default_rng(0)
    widths = {}
    for n in (2, 3, 5):
        low, high = find_intervals(fit_table(90 + rng.standard_normal((40, 30, n)), images=1000))
        widths[n] = np.mean(high - low)
    assert widths[2] > 1.2 * widths[3] > 1.5 * widths[5]
    table = np.array([[90.0, 91, 92], [93.0, np.nan, np.nan], [np.nan] * 3, [88, 89, 90.5]])
    model = fit_table(table, images=1000)
    low, high = find_intervals(model)
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [False, True, True, False]
    found = compare_pairs(model, np.array([1, 2, 3]), np.array([0, 0, 0]))
    assert found.n.tolist() == [1, 0, 3]
    assert found.difference.tolist()[0] == 3.0  # by the seed that both have
    assert np.isnan(found.p).tolist() == [True, True, False]


def test_other_metrics_keep_their_scale() -> None:
    values = 1000 + np.random.default_rng(7).standard_normal((10, 4))
    one, other = (np.array(find_intervals(fit_table(factor * values))) for factor in (1.0, 60.0))
    assert other == pytest.approx(60 * one)
    assert one.mean(0) == pytest.approx(values.mean(1))


def test_a_metric_that_never_varies_has_no_test() -> None:
    model = fit_table(np.array([[3.0, 3.0], [5.0, 5.0 + 1e-12]]))
    assert np.isnan(find_intervals(model)).all()
    assert np.isnan(compare_pairs(model, np.array([0]), np.array([1])).p).all()
