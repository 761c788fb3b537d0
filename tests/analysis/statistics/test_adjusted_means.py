"""Means adjusted for missing seeds: against sums by hand and least squares with dummies."""

import numpy as np
import pandas as pd
import pytest

from analysis.statistics.adjusted_means import adjust_for_seeds


def make_values(table: np.ndarray) -> pd.DataFrame:
    cells, seeds = np.nonzero(~np.isnan(table))
    return pd.DataFrame({"cell": cells, "seed": seeds, "value": table[cells, seeds]})


def test_complete_groups_keep_their_plain_means() -> None:
    table = np.array([[93.1, 92.7, 90.2], [91.0, 91.3, 88.8], [1.0, np.nan, np.nan]])
    means = adjust_for_seeds(make_values(table), pd.Series([0, 0, 1]))
    assert means.tolist() == [np.mean(table[0]), np.mean(table[1]), 1.0]


def test_a_missing_hard_seed_is_no_gain() -> None:
    """The second is a point behind with both seeds that it has, and lacks the hard one."""
    table = np.array([[91.5, 91.6, 88.0], [90.5, 90.6, np.nan]])
    means = adjust_for_seeds(make_values(table), pd.Series([0, 0]))
    assert means[0] - means[1] == pytest.approx(1.0)


def test_it_is_least_squares_over_cells_and_seeds() -> None:
    rng = np.random.default_rng(4)
    table = 90 + rng.standard_normal((5, 4))
    table[[0, 1, 3], [2, 0, 3]] = np.nan
    values = make_values(table)
    means = adjust_for_seeds(values, pd.Series(0, index=range(5)))
    dummies = pd.get_dummies(values[["cell", "seed"]].astype(str)).to_numpy(dtype=float)
    effects = np.linalg.lstsq(dummies, values["value"].to_numpy(), rcond=None)[0][:5]
    assert np.diff(means) == pytest.approx(np.diff(effects))


def test_unlinked_cells_and_infinite_values_stay_as_they_are() -> None:
    apart = np.array([[90.0, 92.0, np.nan, np.nan], [np.nan, np.nan, 80.0, 84.0]])
    assert adjust_for_seeds(make_values(apart), pd.Series([0, 0])).tolist() == [91.0, 82.0]
    spoilt = np.array([[np.inf, 1.0], [2.0, np.nan]])
    assert adjust_for_seeds(make_values(spoilt), pd.Series([0, 0])).tolist() == [np.inf, 2.0]
