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

from pruning.masks import kept_count, prunable
from pruning.method import Card, Method, PruneInput
from pruning.own_code.find_method import find_method
from pruning.own_code.prune_call import prune
from pruning.own_code.pruned import Pruned
from pruning.own_code.pruned_reader import load
from pruning.real_zeros import WrongZerosError
from pruning.testing_network import make_batches, make_network, train
from pruning.user_error import UserError

SPARSITIES = (0.5, 0.8)
FILTERS = 0.06  # by how much whole filters of this network may miss a sparsity

MethodOf = str | Method | type[Method]


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
    **layers: Any,
) -> Pruned:
    """The whole procedure of a method on the network, with its trainings.

    Args:
        sparsity: left out where the method's own rule decides.
        trained: receives what is so before every training.
        layers: `exclude` and `layer_sparsity`, see `pruning.prune`.

    Raises:
        AssertionError: it cannot be carried out, or does not keep what it promises.
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
            **layers,
        )
    except WrongZerosError as error:
        raise AssertionError(f"the method does not keep what it promises: {error}") from error
    except UserError as error:
        raise AssertionError(str(error)) from error


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


def check_that_a_prune_changes_nothing_else(method: MethodOf) -> None:
    """A prune leaves statistics of batch-norm, the masks it is given, which parameters require
    gradients, and hooks as they were; one that only ranks weights leaves the weights, too."""
    _, chosen = find_method(method, {})
    watched, prunes = chosen.model_copy(), 0
    only_ranks = type(chosen).prune is Method.prune

    def prune_and_compare(inputs: PruneInput) -> Any:
        nonlocal prunes
        prunes += 1
        before, masks = _describe_model(inputs.model), copy.deepcopy(dict(inputs.masks))
        answer = chosen.prune(inputs)
        edited = [name for name, mask in masks.items() if not torch.equal(mask, inputs.masks[name])]
        assert not edited, f"inputs.masks is changed in place in {', '.join(edited)}: make new ones"
        after = _describe_model(inputs.model)
        weights = set() if only_ranks else {name for name, _ in inputs.model.named_parameters()}
        for what, values in before.items():
            now = after[what]
            changed = [name for name, value in values.items() if not _equal(value, now[name])]
            wrong = [name for name in changed if what != "values" or name not in weights]
            assert not wrong, f"a prune changes the {what} of {', '.join(wrong)}"
        return answer

    object.__setattr__(watched, "prune", prune_and_compare)
    run(watched, SPARSITIES[-1])
    assert prunes or not chosen.prunes or type(chosen).phases is not Method.phases


def _describe_model(model: nn.Module) -> dict[str, dict[str, Any]]:
    """What a prune may change by mistake, by kind and name."""
    return {
        "values": {name: value.clone() for name, value in model.state_dict().items()},
        "requires_grad": {name: value.requires_grad for name, value in model.named_parameters()},
        "hooks": {
            name or "the network": len(module._forward_hooks) + len(module._forward_pre_hooks)
            for name, module in model.named_modules()
        },
    }


def _equal(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, Tensor) else bool(one == other)


def check_that_it_leaves_other_layers(method: MethodOf) -> None:
    """An excluded layer has no mask and loses no filter; a layer with a sparsity of its own has
    that, where the method takes such sparsities."""
    _, chosen = find_method(method, {})
    if not chosen.prunes:
        return
    pruned = run(method, SPARSITIES[0], exclude=["stem"])
    assert "stem.weight" not in pruned.masks, "an excluded layer has a mask"
    stem = dict(pruned.model.named_parameters())["stem.weight"]
    assert len(stem) == 16, f"an excluded layer has {len(stem)} of its 16 filters left"
    assert bool(stem.all()), "weights of an excluded layer are zero"
    if chosen.takes_layer_sparsity and chosen.keeps_exact_count:
        mask = run(method, SPARSITIES[0], layer_sparsity={"inner": 0.75}).masks["inner.weight"]
        count = kept_count(0.75, mask.numel())
        kept = int(mask.sum())
        assert kept == count, f"of a layer with sparsity 0.75 {kept} weights are kept, not {count}"


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
    check_that_a_prune_changes_nothing_else,
    check_that_it_leaves_other_layers,
    check_that_it_can_be_saved,
)
"""All checks, each a function of a method."""
