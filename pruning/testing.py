"""What every method must keep to, as checks for the author of one: `pytest` in his own repository.

    import pytest
    from pruning.testing import CHECKS

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_my_method(check):
        check("my_method.py")  # or a name, a class, a method with its knobs set

Each check prunes a small residual network with `pruning.prune`, in parts of a second, and raises an
AssertionError where the method breaks a rule. That a method is the one of its paper is for its
author to test.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pruning.masks import kept_count, prunable
from pruning.method import Card, Method
from pruning.own_code.find_method import find_method
from pruning.own_code.prune_call import prune
from pruning.own_code.pruned import Pruned
from pruning.own_code.pruned_reader import load
from pruning.real_zeros import WrongZerosError
from pruning.seeds import derive_seed

IMAGE, CLASSES = (1, 8, 8), 5
SPARSITIES = (0.5, 0.8)
FILTERS = 0.06  # by how much whole filters of this network may miss a sparsity
STEPS = 5  # optimiser steps of a training

MethodOf = str | Method | type[Method]


class Residual(nn.Module):
    """A convolution, a residual block and a linear layer, with batch-norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.inner, self.inner_norm = nn.Conv2d(16, 20, 3, padding=1), nn.BatchNorm2d(20)
        self.outer, self.outer_norm = nn.Conv2d(20, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.drop, self.fc = nn.Dropout(0.1), nn.Linear(16 * 4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, classes] of images [B, 1, 8, 8]."""
        x = self.stem_norm(self.stem(x)).relu()
        inner = self.inner_norm(self.inner(x)).relu()
        x = (x + self.outer_norm(self.outer(inner))).relu()
        x = nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)
        logits: Tensor = self.fc(self.drop(x))
        return logits


def make_network(seed: int = 0) -> nn.Module:
    """The network with weights of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "testing"))
        return Residual()


def make_batches() -> list[tuple[Tensor, Tensor]]:
    """160 random images of 5 classes."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(160, *IMAGE, generator=generator)
    y = torch.arange(160) % CLASSES
    return list(zip(x.split(32), y.split(32), strict=True))


def train(pruned: Pruned) -> None:
    """A short training with momentum, as a user's script has it."""
    model = pruned.model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    schedule = pruned.schedule(optimizer, steps=STEPS) if pruned.changes_masks else None
    if schedule is None:
        pruned.hold(optimizer)
    model.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        for x, y in (make_batches() * STEPS)[:STEPS]:
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            if schedule:
                schedule.step()
            optimizer.step()


@dataclass(frozen=True)
class _Training:
    """What is so before a training: the masks, and whether the method changes them in it."""

    masks: dict[str, Tensor]
    changes_masks: bool


def run(
    method: MethodOf,
    sparsity: float,
    *,
    model: nn.Module | None = None,
    trained: list[_Training] | None = None,
) -> Pruned:
    """The whole procedure of a method on the network, with its trainings.

    Args:
        sparsity: left out where the method's own rule decides.
        trained: receives what is so before every training.
    """
    _, chosen = find_method(method, {})

    def train_and_note(pruned: Pruned) -> None:
        if trained is not None:
            trained.append(_Training(pruned.masks, pruned.changes_masks))
        train(pruned)

    try:
        return prune(
            make_network() if model is None else model,
            method,
            sparsity if _takes(chosen, sparsity) else None,
            batches=make_batches(),
            train=train_and_note,
            rewind=make_network(1).state_dict(),
            build=make_network,
        )
    except WrongZerosError as error:
        raise AssertionError(f"the method does not keep what it promises: {error}") from error


def _takes(method: Method, sparsity: float) -> bool:
    """Whether a trial of the method ends at the requested sparsity."""
    return any(sparsity in trial for trial in method.trials((sparsity,)))


def check_that_it_says_what_it_is(method: MethodOf) -> None:
    """It has a card that is filled in, a docstring, and defaults for all knobs."""
    _, built = find_method(method, {})
    card, doc = getattr(type(built), "card", None), type(built).__doc__
    assert isinstance(card, Card), "a method has a card = Card(title=..., ...)"
    for name in ("title", "paper", "summary", "cost", "when"):
        assert getattr(card, name), f"the card does not say its {name}"
    assert doc and len(doc) > 20, "the class says in its docstring what it does"
    assert type(built)().card is card


def check_that_it_reaches_the_sparsity(method: MethodOf) -> None:
    """Exactly, or as near as whole filters allow, or what its own rule finds, as it promises."""
    _, chosen = find_method(method, {})
    for sparsity in SPARSITIES:
        pruned = run(method, sparsity)
        if not chosen.prunes:
            assert pruned.sparsity == 0, "a method that does not prune leaves every weight"
            continue
        requested, total = pruned.requested, pruned.prunable_weights
        kept = round((1 - pruned.sparsity) * total)
        assert 0 < kept < total, f"{kept} of {total} weights are left"
        if requested is None or chosen.reaches == "own":
            continue
        if chosen.cuts_channels:
            distance = abs(pruned.sparsity - requested)
            assert distance < FILTERS, f"sparsity {pruned.sparsity:.3f}, requested {requested:g}"
        elif chosen.keeps_exact_count:
            count = kept_count(requested, total)
            assert kept == count, f"{kept} weights are kept, at {requested:g} it must be {count}"


def check_that_equal_seeds_give_equal_networks(method: MethodOf) -> None:
    """The same weights, bit for bit, whatever was drawn before."""
    torch.manual_seed(1)
    first = run(method, SPARSITIES[-1]).model.state_dict()
    torch.manual_seed(2)
    again = run(method, SPARSITIES[-1]).model.state_dict()
    differ = [
        name
        for name, value in first.items()
        if value.shape != again[name].shape or not torch.equal(value, again[name])
    ]
    assert not differ, f"two runs with one seed differ in {', '.join(differ)}"


def check_that_no_weight_comes_back(method: MethodOf) -> None:
    """What is masked is zero, and stays masked at every later prune; a method that changes masks
    while it trains keeps no more weights than before."""
    trained: list[_Training] = []
    pruned = run(method, SPARSITIES[-1], trained=trained)
    for name, weight in prunable(pruned.model, only=pruned.masks).items():
        assert not weight[~pruned.masks[name]].any(), f"masked weights of {name} are not zero"
    for before, after in pairwise([*trained, _Training(pruned.masks, False)]):
        more = _count(after.masks) > _count(before.masks)
        assert not more, f"{_count(before.masks)} weights were kept, then {_count(after.masks)}"
        back = [
            name
            for name, mask in after.masks.items()
            if mask.shape == before.masks[name].shape and bool((mask & ~before.masks[name]).any())
        ]
        assert before.changes_masks or not back, f"weights came back in {', '.join(back)}"


def _count(masks: Mapping[str, Tensor]) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


def check_that_it_leaves_the_model_of_the_user(method: MethodOf) -> None:
    """Weights, modes and torch's generator are afterwards what they were before."""
    model = make_network()
    weights, training = copy.deepcopy(model.state_dict()), model.training
    torch.manual_seed(3)
    before = torch.get_rng_state()
    run(method, SPARSITIES[-1], model=model)
    assert torch.equal(before, torch.get_rng_state()), "torch's generator was drawn from"
    assert model.training == training
    changed = [n for n, value in model.state_dict().items() if not torch.equal(value, weights[n])]
    assert not changed, f"the model that was given has other {', '.join(changed)}"


def check_that_it_can_be_saved(method: MethodOf) -> None:
    """What it remembers from prune to prune is tensors, and the network comes back from a file."""
    pruned = run(method, SPARSITIES[-1])
    others: dict[str, Any] = {
        name: value for name, value in pruned.memory.items() if not isinstance(value, Tensor)
    }
    assert not others, f"memory holds tensors only, but {others}"
    with tempfile.TemporaryDirectory() as folder:
        pruned.save(Path(folder, "network.pt"))
        again = load(Path(folder, "network.pt"), make_network())
    x, _ = make_batches()[0]
    with torch.no_grad():
        assert torch.equal(again.model(x), copy.deepcopy(pruned.model).eval()(x))


CHECKS = (
    check_that_it_says_what_it_is,
    check_that_it_reaches_the_sparsity,
    check_that_equal_seeds_give_equal_networks,
    check_that_no_weight_comes_back,
    check_that_it_leaves_the_model_of_the_user,
    check_that_it_can_be_saved,
)
"""All checks, each a function of a method."""
