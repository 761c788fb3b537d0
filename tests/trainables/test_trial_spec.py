"""Keys are readable, never change and stay inside the study directory; what they are made of is
pinned here."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


ODD = [
    *("..", "../..", "/etc/passwd", "a/../../b", ".", "", "~", "C:\\x", "a\0b", "..\\.."),
    *("-", "%2e%2e", "\ud800"),
]
NAMES = st.one_of(st.text(max_size=40), st.just("x" * 5000), st.sampled_from(ODD))


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    NAMES,
    NAMES,
    NAMES,
    st.integers(0, 2**63 - 1),
    st.lists(st.floats(0, 1, exclude_max=True), max_size=3),
)
def test_a_key_cannot_leave_the_study_directory(
    dataset: str, model: str, method: str, seed: int, sparsities: list[float]
) -> None:
    key = TrialSpec(
        dataset=dataset, model=model, method=method, seed=seed, sparsities=tuple(sparsities)
    ).key
    assert re.fullmatch(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+){3}", key)
    assert all(
        part.strip(".") and not part.startswith(".") and len(part) < 230 for part in key.split("/")
    )
    for path in (f"rows/{key}.parquet", f"checkpoints/{key}/step-000001-0123456789abcdef.pt"):
        assert Path("/study", path).resolve().is_relative_to("/study/" + path.split("/")[0])


def test_names_that_look_alike_as_folders_have_keys_of_their_own() -> None:
    spec = GOLDEN["cifar10-resnet18/magnitude/s0.900/seed42-67de3d50"]
    names = ["a/b", "a_b", "a:b", "a b", "/a/b", ".a/b", "a" * 100, "a" * 101]
    for field in ("dataset", "model"):
        specs = [spec.model_copy(update={field: name}) for name in names]
        assert len({spec.key for spec in specs}) == len(names)
