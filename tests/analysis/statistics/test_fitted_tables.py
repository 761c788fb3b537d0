"""Means, intervals and comparisons of tidy values."""

import numpy as np
import pandas as pd
import pytest

from analysis.statistics.fitted_tables import FittedTables, pair_with_best
from analysis.statistics.intervals_and_tests import adjust_holm
from analysis.statistics.model_intervals import find_intervals
from analysis.statistics.variance_model import fit_table
from tests.analysis.statistics.made_up_tables import make_table, make_values


def test_means_are_plain_and_tables_apart() -> None:
    rng = np.random.default_rng(9)
    table = make_table(rng)
    table[3, 1:] = np.nan
    values = pd.concat(
        [
            make_values(table, "a"),
            make_values(table + 0.0, "b").assign(cell=lambda x: x["cell"] + 100),
        ]
    )
    cells = FittedTables(values.sample(frac=1, random_state=1), images=359).summarise()
    low, high = find_intervals(fit_table(table, images=359))
    assert cells.loc[range(12), "mean"].to_numpy() == pytest.approx(np.nanmean(table, 1))
    assert cells.loc[range(12), "low"].to_numpy() == pytest.approx(low, nan_ok=True)
    assert cells.loc[range(100, 112), "high"].to_numpy() == pytest.approx(high, nan_ok=True)
    assert cells.loc[3, "n"] == 1 and cells.loc[0, "n"] == 3


def test_the_choice_of_the_best_is_paid_for() -> None:
    table = make_table(np.random.default_rng(9))
    tables = FittedTables(make_values(table), images=359)
    cells = tables.summarise().assign(group=lambda x: x.index % 2)
    pairs = pair_with_best(cells)
    assert len(pairs) == 10 and (pairs["choices"] == 6).all()
    best = cells.groupby("group")["mean"].idxmax()
    assert pairs["rival"].tolist() == [best[cell % 2] for cell in pairs["cell"]]
    found = tables.compare(pairs)
    assert found.index.tolist() == pairs.index.tolist()
    assert found["adjusted"].to_numpy() == pytest.approx(adjust_holm(np.minimum(1, 3 * found["p"])))
    plain = tables.compare(pairs.drop(columns="choices"))
    assert plain["adjusted"].to_numpy() == pytest.approx(adjust_holm(found["p"]))
    assert pair_with_best(cells, higher=False)["rival"].tolist() != pairs["rival"].tolist()


def test_a_best_of_two_seeds_goes_before_a_better_one_of_one() -> None:
    cells = pd.DataFrame({"mean": [90.0, 99.0, 80.0], "n": [3, 1, 2], "group": 0})
    pairs = pair_with_best(cells)
    assert pairs["rival"].tolist() == [0, 0]
    assert pairs["choices"].tolist() == [2, 2]


def test_unknown_cells_are_compared_with_nothing() -> None:
    tables = FittedTables(make_values(make_table(np.random.default_rng(1))), images=359)
    found = tables.compare(pd.DataFrame({"cell": [1, 99], "rival": [0, 0]}))
    assert found["n"].tolist() == [3, 0]
    assert np.isnan(found.loc[1, ["difference", "p", "adjusted"]].astype(float)).all()


def test_no_pairs_across_tables_and_no_seed_twice() -> None:
    values = pd.concat([make_values(make_table(np.random.default_rng(1)), name) for name in "ab"])
    with pytest.raises(ValueError, match="several values of one seed"):
        FittedTables(values, images=359)
    values["cell"] = values["table"] + values["cell"].astype(str)
    with pytest.raises(ValueError, match="different tables"):
        FittedTables(values, images=359).compare(pd.DataFrame({"cell": ["a1"], "rival": ["b1"]}))
    values.loc[values["cell"] == "b1", "cell"] = "a1"
    values.loc[values["table"] == "b", "seed"] += 10
    with pytest.raises(ValueError, match="several tables"):
        FittedTables(values, images=359)


def test_unknown_images_are_guessed_per_table() -> None:
    values = make_values(make_table(np.random.default_rng(1)))
    known, unknown = (
        FittedTables(values, images=images).summarise() for images in (359, {"other": 5})
    )
    assert unknown.equals(known)


def test_an_infinite_loss_spoils_its_own_cell_only() -> None:
    table = np.abs(np.random.default_rng(3).standard_normal((6, 3))) + 1
    spoilt = table.copy()
    spoilt[2, 1] = np.inf
    tables = FittedTables(make_values(spoilt))
    others = FittedTables(make_values(np.delete(table, 2, axis=0))).summarise()
    assert tables.summarise()["low"].tolist() == others["low"].tolist()
    compared = tables.compare(pd.DataFrame({"cell": [2, 1], "rival": [0, 0]}))
    assert np.isnan(compared["p"]).tolist() == [True, False]
    assert compared["n"].tolist() == [0, 3]


def test_percentages_that_are_no_accuracies_stay_on_their_own_scale() -> None:
    table = make_table(np.random.default_rng(3)) + 30
    summary = FittedTables(make_values(table), images=359).summarise()
    assert summary["high"].max() > 100


def test_cells_may_be_tuples() -> None:
    values = make_values(make_table(np.random.default_rng(3)))
    values["cell"] = pd.Series([(0, cell) for cell in values["cell"]], index=values.index)
    tables = FittedTables(values, images=359)
    assert list(tables.summarise().index[:2]) == [(0, 0), (0, 1)]
    pairs = {"cell": pd.Series([(0, 1)]), "rival": pd.Series([(0, 0)])}
    assert tables.compare(pd.DataFrame(pairs))["n"].tolist() == [3]
