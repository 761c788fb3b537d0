"""Keys are readable and never change: what they are made of is pinned here."""

import pytest

from trainables.training.recipe import Recipe
from trainables.trial_spec import TrialSpec, dense_spec, epochs_of, needs_dense, rewind_epochs_of

GOLDEN = {
    "cifar10-resnet18/dense/s0.000/seed42-c1b3e2d7": TrialSpec(
        dataset="cifar10", model="resnet18", method="dense", seed=42
    ),
    "cifar10-resnet18/magnitude/s0.900/seed42-67de3d50": TrialSpec(
        dataset="cifar10",
        model="resnet18",
        method="magnitude",
        sparsities=(0.9,),
        seed=42,
        retrain=Recipe(epochs=100, lr=0.01),
    ),
    "mnist-my.nets_small/random/s0.500/seed0-6e24799c": TrialSpec(
        dataset="mnist",
        model="my.nets:small",
        method="random",
        knobs={"layers": "erk"},
        sparsities=(0.5,),
        seed=0,
        recipe=Recipe(epochs=3),
    ),
}


@pytest.mark.parametrize("key", GOLDEN)
def test_golden_keys(key: str) -> None:
    assert GOLDEN[key].key == key


def test_rewind_epochs_say_what_to_keep_and_are_no_part_of_the_key() -> None:
    spec = GOLDEN["cifar10-resnet18/dense/s0.000/seed42-c1b3e2d7"]
    assert spec.model_copy(update={"rewind_epochs": (3,)}).key == spec.key


def test_every_other_field_changes_the_key() -> None:
    spec = GOLDEN["cifar10-resnet18/magnitude/s0.900/seed42-67de3d50"]
    others = [
        {"dataset": "cifar100"},
        {"model": "vgg16"},
        {"method": "random"},
        {"knobs": {"scope": "layer"}},
        {"sparsities": (0.9001,)},
        {"sparsities": (0.5, 0.9)},
        {"seed": 43},
        {"recipe": Recipe(epochs=161)},
        {"retrain": None},
        {"sources": {"magnitude": "0" * 64}},
    ]
    keys = {spec.model_copy(update=change).key for change in others}
    assert len(keys) == len(others) and spec.key not in keys


@pytest.mark.parametrize("name", ["../../etc", "a/b", "..", "/abs", "a b:c"])
def test_a_key_cannot_leave_the_study_directory(name: str) -> None:
    key = TrialSpec(dataset=name, model=name, method="dense", seed=0).key
    assert (
        key.count("/") == 3 and ".." not in key.split("/")[0][:2] and not key.startswith(("/", "."))
    )


def test_the_dense_trial_of_a_trial_shares_recipe_and_seed() -> None:
    spec = GOLDEN["cifar10-resnet18/magnitude/s0.900/seed42-67de3d50"]
    assert dense_spec(spec).key == "cifar10-resnet18/dense/s0.000/seed42-c1b3e2d7"


def test_what_a_course_needs_and_costs() -> None:
    ticket = TrialSpec(
        dataset="digits",
        model="mlp",
        method="lottery_ticket",
        knobs={"levels": 2, "rewind_to": 3},
        sparsities=(0.2, 0.36),
        seed=0,
        recipe=Recipe(epochs=10),
    )
    phases = ticket.phases()
    assert rewind_epochs_of(phases) == (3,)
    assert epochs_of(phases) == 14
    assert needs_dense(ticket.build_method(), phases)
    control = TrialSpec(dataset="digits", model="mlp", method="random", sparsities=(0.5,), seed=0)
    assert not needs_dense(control.build_method(), control.phases())
