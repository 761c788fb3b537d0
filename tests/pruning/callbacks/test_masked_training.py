"""Masks in a training by somebody else's loop."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

import pruning
from pruning.callbacks.masked_training import MaskedTraining
from pruning.masks import prunable
from tests.pruning.own_code.small_cnn import IMAGE, batches, seeded_cnn

Begun = tuple[pruning.Pruned, MaskedTraining, torch.optim.SGD]


def begun(method: str, *, steps: float = 8) -> Begun:
    pruned = pruning.prune(seeded_cnn(), method, 0.8, image=IMAGE)
    optimizer = torch.optim.SGD(pruned.model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    training = MaskedTraining(pruned)
    training.begin([optimizer], steps)
    return pruned, training, optimizer


def step(pruned: pruning.Pruned, training: MaskedTraining, optimizer: torch.optim.SGD) -> None:
    (x, y), *_ = batches(1)
    optimizer.zero_grad()
    cross_entropy(pruned.model(x), y).backward()
    training.before_step()
    optimizer.step()


def test_masked_weights_are_zero_and_their_gradients_do_not_count() -> None:
    pruned, training, optimizer = begun("magnitude")
    step(pruned, training, optimizer)
    for name, weight in prunable(pruned.model).items():
        assert weight.grad is not None and not weight.grad[~pruned.masks[name]].any()
        assert not weight[~pruned.masks[name]].any()
    training.end()
    optimizer.zero_grad()
    cross_entropy(pruned.model(batches(1)[0][0]), batches(1)[0][1]).backward()
    optimizer.step()
    assert pruned.sparsity < 0.5


def test_masks_change_by_the_schedule_and_hold_in_the_next_training() -> None:
    pruned, training, optimizer = begun("gmp")
    assert training.schedule is not None and pruned.sparsity == 0
    for _ in range(8):
        step(pruned, training, optimizer)
    assert pruned.sparsity == pytest.approx(0.8, abs=1e-3) and training.schedule.done == 8
    training.end()
    training.begin([optimizer], 3)
    assert training.schedule is None
    step(pruned, training, optimizer)
    assert pruned.sparsity == pytest.approx(0.8, abs=1e-3)


def test_optimisers_of_other_networks_are_left_alone() -> None:
    pruned = pruning.prune(seeded_cnn(), "magnitude", 0.8, image=IMAGE)
    other = torch.optim.SGD(seeded_cnn().parameters(), lr=0.1)
    own = torch.optim.SGD(pruned.model.parameters(), lr=0.1, weight_decay=0.1)
    training = MaskedTraining(pruned)
    with pytest.raises(pruning.UserError, match="no optimiser of this training has weights"):
        training.begin([other], 4)
    training.begin([other, own], 4)
    step(pruned, training, own)
    assert pruned.sparsity == pytest.approx(0.8, abs=1e-3)


def test_a_schedule_needs_to_know_how_long_the_training_is() -> None:
    with pytest.raises(pruning.UserError, match="'rigl' changes masks .* number of steps is known"):
        begun("rigl", steps=float("inf"))
    begun("magnitude", steps=float("inf"))


def test_a_training_that_goes_on_without_its_masks_is_refused() -> None:
    pruned = pruning.prune(seeded_cnn(), "gmp", 0.8, image=IMAGE)
    optimizer = torch.optim.SGD(pruned.model.parameters(), lr=0.1)
    with pytest.raises(pruning.UserError, match="goes on at step 5, .* has no masks"):
        MaskedTraining(pruned).begin([optimizer], 8, done=5)


def test_it_goes_on_from_its_state() -> None:
    whole, training, optimizer = begun("set")
    assert training.schedule is not None
    for _ in range(5):
        step(whole, training, optimizer)
    saved = training.state_dict()
    again = pruning.prune(seeded_cnn(1), "set", 0.8, image=IMAGE)
    continued = MaskedTraining(again)
    continued.load_state_dict(saved)
    continued.begin([torch.optim.SGD(again.model.parameters(), lr=0.1)], 8, done=5)
    assert continued.schedule is not None and continued.schedule.done == 5
    assert all(torch.equal(mask, whole.masks[name]) for name, mask in again.masks.items())
    assert not begun("magnitude")[1].state_dict()
