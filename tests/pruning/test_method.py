"""The base of methods: what it does where a method defines nothing else.

Covers: pruning/method.py, pruning/methods/magnitude.py.
"""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from pruning.filters import FilterMethod
from pruning.masks import all_kept
from pruning.method import Method, PruneInput
from pruning.methods.gmp import GMP
from pruning.methods.magnitude import Magnitude
from pruning.methods.rigl import RigL
from pruning.posttraining import PostTraining, Target


def prune_input(model: nn.Module, sparsity: float | None = 0.5) -> PruneInput:
    return PruneInput(
        model=model,
        masks=all_kept(model),
        sparsity=sparsity,
        generator=torch.Generator(),
        images=lambda count: iter(()),
        image=(1, 1, 8),
    )


def test_a_method_ranks_in_the_scope_it_was_given() -> None:
    model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    with torch.no_grad():
        for size, layer in enumerate(model):
            layer.weight.uniform_(1 + size, 2 + size, generator=torch.Generator().manual_seed(size))
    inputs = prune_input(model)
    for scope, left in (("global", [0, 64]), ("layer", [32, 32])):
        assert [int(mask.sum()) for mask in Magnitude(scope=scope).prune(inputs).values()] == left


def test_a_method_that_needs_a_sparsity_says_so_where_none_is_requested() -> None:
    inputs = prune_input(nn.Linear(8, 8, bias=False), None)
    assert inputs.sparsity is None
    with pytest.raises(ValueError, match="needs a sparsity, but none was requested"):
        Magnitude().prune(inputs)
    assert prune_input(nn.Linear(8, 8), 0.25).requested_sparsity == 0.25


def test_weights_share_memory_with_the_model() -> None:
    model = nn.Linear(8, 8, bias=False)
    weights = prune_input(model).weights
    assert list(weights) == ["weight"] and not weights["weight"].requires_grad
    weights["weight"].zero_()
    assert not model.weight.detach().any()


def test_a_method_that_says_nothing_is_named() -> None:
    class Mute(FilterMethod):
        card = Magnitude.card

    class Silent(Method):
        card = Magnitude.card

    class Blind(PostTraining):
        card = Magnitude.card

    inputs = prune_input(nn.Linear(2, 2, bias=False))
    calls: dict[str, Callable[[], object]] = {
        "Mute does not define filter_scores": lambda: Mute().filter_scores(inputs, {}),
        "Silent defines neither scores nor prune": lambda: Silent().prune(inputs),
        "Silent does not change masks while training": lambda: Silent().update(inputs),
        "Blind does not say what it observes": lambda: Blind().observe(inputs.model, "weight", []),
        "Blind does not say how it solves a layer": lambda: Blind().solve(
            torch.ones(1, 1), torch.ones(1), Target()
        ),
    }
    for message, call in calls.items():
        with pytest.raises(TypeError, match=f"^{message}$"):
            call()


@pytest.mark.parametrize(
    ("steps", "every"), [(1, 1), (39, 1), (240, 12), (2000, 100), (56320, 100)]
)
def test_updates_come_every_hundred_steps_but_at_least_twenty_times(steps: int, every: int) -> None:
    assert GMP().interval(steps) == RigL().interval(steps) == every
    assert RigL(every=7).interval(steps) == min(every, 7)
