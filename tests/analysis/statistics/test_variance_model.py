"""The variance model of a table: its seed effects against projections, and what it refuses."""

import numpy as np
import pytest

from analysis.statistics.model_intervals import find_intervals
from analysis.statistics.variance_model import (
    UNKNOWN_IMAGES,
    fit_table,
    guess_images,
    remove_seed_effects,
)
from tests.analysis.statistics.made_up_tables import make_table


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_seed_effects_are_those_of_least_squares(share: float) -> None:
    rng = np.random.default_rng(4)
    values = rng.standard_normal((7, 5)) + 3 * rng.standard_normal(5)
    seen = rng.random((7, 5)) >= share
    seen[0], seen[6] = [True, False, False, False, False], True
    mean = np.where(seen, values, 0).sum(1) / seen.sum(1)
    deviations = np.where(seen, values - mean[:, None], 0.0)
    own, freedom = remove_seed_effects(deviations, seen)
    cells, seeds = np.nonzero(seen)
    design = np.column_stack([np.eye(7)[cells], np.eye(5)[seeds]])
    hat = design @ np.linalg.pinv(design)
    assert own[seen] == pytest.approx(values[seen] - hat @ values[seen], abs=1e-10)
    left = np.bincount(cells, 1 - np.diagonal(hat), 7)
    assert freedom == pytest.approx(left, abs=1e-10)


def test_a_balanced_table_spends_one_seed_effect_over_all_cells() -> None:
    _, freedom = remove_seed_effects(np.zeros((2, 10, 4)), np.ones((2, 10, 4), dtype=bool))
    assert freedom == pytest.approx(np.full((2, 10), 3 * (1 - 1 / 10)))


def test_the_seed_effect_has_the_freedom_of_its_seeds() -> None:
    """Of two studies without common seeds: those of both."""
    rng = np.random.default_rng(0)
    table = rng.standard_normal((6, 8))
    assert fit_table(table).seed_freedom == pytest.approx(7)
    table[:3, :4], table[3:, 4:] = np.nan, np.nan
    assert fit_table(table).seed_freedom == pytest.approx(6)


def test_seeds_that_one_cell_has_alone_are_no_effect() -> None:
    seen = np.array([[True, True, False, False], [False, False, True, True]])
    deviations = np.where(seen, [[1.0, -1, 0, 0], [0, 0, 2, -2]], 0.0)
    own, freedom = remove_seed_effects(deviations, seen)
    assert own.tolist() == deviations.tolist()
    assert freedom.tolist() == [1.0, 1.0]


def test_tables_do_not_mix() -> None:
    rng = np.random.default_rng(6)
    tables = np.stack([make_table(rng), make_table(rng)])
    both, alone = fit_table(tables, images=359), [fit_table(one, images=359) for one in tables]
    for at in range(2):
        assert np.array(find_intervals(both))[:, at] == pytest.approx(
            np.array(find_intervals(alone[at]))
        )


@pytest.mark.parametrize(
    ("values", "images"), [([1.0], None), ([[np.inf]], None), ([[101.0]], 10), ([[5.0]], 0)]
)
def test_no_model_of_nonsense(values: list, images: int | None) -> None:
    with pytest.raises(ValueError, match="a table is finite|accuracies are"):
        fit_table(np.array(values), images=images)


def test_unknown_images_are_guessed_from_the_steps() -> None:
    assert guess_images(make_table(np.random.default_rng(1))) == 359
    assert guess_images(np.array([[97.0, 97.0]])) == UNKNOWN_IMAGES
