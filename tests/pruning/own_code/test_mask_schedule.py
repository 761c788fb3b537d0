"""Methods that change masks while a loop of the user's trains the network."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import pruning
from pruning.masks import prunable
from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import PretendedGpu
from tests.pruning.own_code.small_cnn import IMAGE, batches, seeded_cnn

STEPS = 40


def train(
    pruned: pruning.Pruned, steps: int, *, made: tuple[torch.optim.Optimizer, pruning.MaskSchedule]
) -> list[float]:
    """Steps of a training; the sparsity after each."""
    optimizer, schedule = made
    seen = []
    for x, y in (batches(4) * steps)[:steps]:
        optimizer.zero_grad()
        cross_entropy(pruned.model.eval()(x), y).backward()
        schedule.step()
        optimizer.step()
        seen.append(pruned.sparsity)
    return seen


def make(method: str, **knobs: object) -> tuple[pruning.Pruned, torch.optim.Optimizer]:
    pruned = pruning.prune(seeded_cnn(), method, 0.8, image=IMAGE, every=2, **knobs)
    return pruned, torch.optim.AdamW(pruned.model.parameters(), lr=0.01)


def flat(pruned: pruning.Pruned) -> Tensor:
    return torch.cat([mask.flatten() for mask in pruned.masks.values()])


def test_gmp_rises_to_its_sparsity_and_stays_there() -> None:
    pruned, optimizer = make("gmp")
    assert pruned.sparsity == 0
    schedule = pruned.schedule(optimizer, steps=STEPS)
    seen = train(pruned, STEPS, made=(optimizer, schedule))
    assert seen == sorted(seen) and len(set(seen)) > 10
    assert seen[-1] == seen[30] == pytest.approx(0.8, abs=1e-3)
    assert schedule.done == STEPS and not schedule.step()


@pytest.mark.parametrize("method", ["rigl", "set"])
def test_dynamic_methods_move_weights_at_one_sparsity(method: str) -> None:
    pruned, optimizer = make(method)
    before = flat(pruned)
    schedule = pruned.schedule(optimizer, steps=STEPS)
    seen = train(pruned, STEPS, made=(optimizer, schedule))
    after = flat(pruned)
    assert int((before ^ after).sum()) > 20 and int(before.sum()) == int(after.sum())
    assert seen[-1] == pytest.approx(0.8, abs=1e-3)
    weights = prunable(pruned.model)
    assert all(not weights[name][~mask].any() for name, mask in pruned.masks.items())


def test_what_the_optimiser_remembers_of_a_moved_weight_is_cleared() -> None:
    pruned, optimizer = make("rigl")
    schedule = pruned.schedule(optimizer, steps=STEPS)
    train(pruned, 2, made=(optimizer, schedule))
    before = pruned.masks
    x, y = batches(1)[0]
    cross_entropy(pruned.model(x), y).backward()
    assert schedule.step()
    for name, weight in prunable(pruned.model).items():
        moved = before[name] ^ pruned.masks[name]
        assert not optimizer.state[weight]["exp_avg"][moved].any()
        assert not optimizer.state[weight]["exp_avg_sq"][moved].any()


def test_it_continues_from_its_state_as_if_it_had_never_stopped() -> None:
    whole, optimizer = make("set")
    schedule = whole.schedule(optimizer, steps=STEPS)
    train(whole, 20, made=(optimizer, schedule))
    saved, state, weights = copy.deepcopy(
        (schedule.state_dict(), optimizer.state_dict(), whole.model.state_dict())
    )
    train(whole, 10, made=(optimizer, schedule))
    again, new = make("set")
    continued = again.schedule(new, steps=STEPS)
    again.model.load_state_dict(weights)
    new.load_state_dict(state)
    continued.load_state_dict(saved)
    train(again, 10, made=(new, continued))
    assert continued.done == 30
    assert torch.equal(flat(whole), flat(again))


def test_made_with_a_state_it_leaves_the_loaded_weights_as_they_are() -> None:
    whole, optimizer = make("rigl")
    schedule = whole.schedule(optimizer, steps=STEPS)
    train(whole, 20, made=(optimizer, schedule))
    saved, state, weights = copy.deepcopy(
        (schedule.state_dict(), optimizer.state_dict(), whole.model.state_dict())
    )
    again, new = make("rigl")
    again.model.load_state_dict(weights)
    new.load_state_dict(state)
    continued = again.schedule(new, steps=STEPS, state=saved)
    for name, value in again.model.state_dict().items():
        assert torch.equal(value, weights[name]), name
    train(whole, 10, made=(optimizer, schedule))
    train(again, 10, made=(new, continued))
    assert torch.equal(flat(whole), flat(again))


@pytest.mark.slow
@in_cuda_process
def test_a_network_may_move_to_a_gpu_after_it_was_pruned() -> None:
    with PretendedGpu():
        here, optimizer = make("rigl")
        schedule = here.schedule(optimizer, steps=STEPS)
        train(here, 10, made=(optimizer, schedule))
        there, _ = make("rigl")
        there.model.cuda()
        assert there.sparsity == pytest.approx(0.8, abs=1e-3) and there.effective_macs
        optimizer = torch.optim.AdamW(there.model.parameters(), lr=0.01)
        schedule = there.schedule(optimizer, steps=STEPS)
        on_device = [(x.cuda(), y.cuda()) for x, y in batches(4)]
        for x, y in (on_device * 3)[:10]:
            optimizer.zero_grad()
            cross_entropy(there.model.eval()(x), y).backward()
            schedule.step()
            optimizer.step()
        assert all(mask.is_cuda for mask in there.masks.values())
        assert torch.equal(flat(there).cpu(), flat(here))
        there.model.cpu()
        assert not any(mask.is_cuda for mask in there.masks.values())


def test_misuse_is_said_in_one_line() -> None:
    pruned, optimizer = make("rigl")
    with pytest.raises(pruning.UserError, match="steps must be at least 1"):
        pruned.schedule(optimizer, steps=0)
    schedule = pruned.schedule(optimizer, steps=STEPS)
    with pytest.raises(pruning.UserError, match="after backward.* before optimizer.step"):
        schedule.step()
    still = pruning.prune(seeded_cnn(), "magnitude", 0.8, image=IMAGE)
    with pytest.raises(pruning.UserError, match=r"take pruned.hold\(optimizer\)"):
        still.schedule(torch.optim.SGD(still.model.parameters(), lr=0.1), steps=3)
