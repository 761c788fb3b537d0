"""The equal-budget dense control lists one longer training and nothing else."""

import pytest
from pydantic import ValidationError

from pruning.phases import Measure, PhaseContext, Train
from pruning.registry import build_method, find_method_class, list_methods

CONTEXT = PhaseContext(train_epochs=10, retrain_epochs=4, rewind_epochs=(0, 2))


def test_it_trains_the_dense_recipe_over_the_whole_length() -> None:
    method = build_method("dense_longer", {"epochs": 36})
    assert method.trials((0.5, 0.9)) == [(0.0,)]
    assert method.phases((0.0,), CONTEXT) == [
        Train("train", 36, length=36),
        Measure(0.0, level=0),
    ]


def test_without_a_plan_it_is_as_long_as_the_recipe() -> None:
    (train, _) = build_method("dense_longer", {}).phases((0.0,), CONTEXT)
    assert train == Train("train", 10, length=10)


def test_it_is_no_shorter_than_the_recipe() -> None:
    with pytest.raises(ValueError, match="at least the 10 of the recipe, but got 9"):
        build_method("dense_longer", {"epochs": 9}).phases((0.0,), CONTEXT)
    for wrong in (0, -3, 2.5, True):
        with pytest.raises(ValidationError):
            build_method("dense_longer", {"epochs": wrong})


def test_it_alone_is_no_part_of_all_and_only_dense_networks_are_not_pruned() -> None:
    kinds = {name: find_method_class(name) for name in list_methods()}
    assert {name for name, kind in kinds.items() if not kind.in_all} == {
        "dense_longer",
        "magnitude_init",
        "random_ticket",
        "reinitialised_ticket",
    }
    assert {name for name, kind in kinds.items() if not kind.prunes} == {"dense", "dense_longer"}
    assert kinds["dense_longer"].card.kind == "control"
