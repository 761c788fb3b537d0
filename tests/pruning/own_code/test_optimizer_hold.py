"""Masks that hold through a training loop of the user's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import cross_entropy

import pruning
from pruning.masks import prunable
from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import T4, PretendedGpu
from tests.pruning.own_code.small_cnn import IMAGE, batches, seeded_cnn

Make = Callable[..., torch.optim.Optimizer]
OPTIMIZERS: dict[str, tuple[Make, dict[str, object]]] = {
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "adam": (torch.optim.Adam, {"lr": 0.01, "weight_decay": 0.01}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.1}),
    "adamw_amsgrad": (torch.optim.AdamW, {"lr": 0.01, "amsgrad": True, "foreach": False}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.01, "momentum": 0.9}),
}


def trained_before(make: Make, options: dict[str, object]) -> tuple[pruning.Pruned, object]:
    """A network that was dense, trained so that its optimiser remembers every weight, and pruned
    in place."""
    model = seeded_cnn()
    optimizer = make(model.parameters(), **options)
    step(model, optimizer)
    return pruning.prune(model, "magnitude", 0.8, image=IMAGE, inplace=True), optimizer


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for x, y in batches(2):
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()


def masked(pruned: pruning.Pruned) -> torch.Tensor:
    weights = prunable(pruned.model)
    return torch.cat([weights[name][~mask] for name, mask in pruned.masks.items()]).detach()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_masked_weights_are_zero_after_every_step_also_with_momentum_of_before(name: str) -> None:
    pruned, optimizer = trained_before(*OPTIMIZERS[name])
    kept = {n: w.detach().clone() for n, w in prunable(pruned.model).items()}
    hold = pruned.hold(optimizer)  # type: ignore[arg-type]
    step(pruned.model, optimizer)  # type: ignore[arg-type]
    assert len(masked(pruned)) > 1000 and not masked(pruned).any()
    weights = prunable(pruned.model)
    assert all(not torch.equal(weights[n][pruned.masks[n]], kept[n][pruned.masks[n]]) for n in kept)
    assert pruned.sparsity == pytest.approx(0.8, abs=1e-3)
    hold.release()
    step(pruned.model, optimizer)  # type: ignore[arg-type]
    assert masked(pruned).any() and pruned.sparsity < 0.5


def test_in_a_with_block_it_holds_inside_only() -> None:
    pruned, optimizer = trained_before(*OPTIMIZERS["sgd"])
    with pruned.hold(optimizer):  # type: ignore[arg-type]
        step(pruned.model, optimizer)  # type: ignore[arg-type]
        assert not masked(pruned).any()
    step(pruned.model, optimizer)  # type: ignore[arg-type]
    assert masked(pruned).any()


def test_gradients_of_masked_weights_can_be_left_out_of_the_norm() -> None:
    pruned, optimizer = trained_before(*OPTIMIZERS["sgd"])
    hold = pruned.hold(optimizer)  # type: ignore[arg-type]
    x, y = batches(1)[0]
    cross_entropy(pruned.model(x), y).backward()
    whole = torch.nn.utils.get_total_norm([p.grad for p in pruned.model.parameters()])
    hold.mask_gradients()
    kept = torch.nn.utils.get_total_norm([p.grad for p in pruned.model.parameters()])
    assert 0 < float(kept) < float(whole)
    for name, weight in prunable(pruned.model).items():
        assert weight.grad is not None and not weight.grad[~pruned.masks[name]].any()


def test_a_model_that_changes_its_type_is_still_held() -> None:
    pruned, _ = trained_before(*OPTIMIZERS["sgd"])
    optimizer = torch.optim.SGD(pruned.model.parameters(), lr=0.1)
    pruned.hold(optimizer)
    pruned.model.double()
    x, y = batches(1)[0]
    cross_entropy(pruned.model(x.double()), y).backward()
    optimizer.step()
    assert masked(pruned).dtype == torch.float64 and not masked(pruned).any()


def test_an_optimiser_of_another_network_is_refused() -> None:
    model = seeded_cnn()
    pruned = pruning.prune(model, "magnitude", 0.8, image=IMAGE)
    with pytest.raises(pruning.UserError, match="make it of pruned.model.parameters"):
        pruned.hold(torch.optim.SGD(model.parameters(), lr=0.1))


def test_a_method_that_changes_masks_takes_a_schedule() -> None:
    pruned = pruning.prune(seeded_cnn(), "rigl", 0.8, image=IMAGE)
    optimizer = torch.optim.SGD(pruned.model.parameters(), lr=0.1)
    with pytest.raises(pruning.UserError, match=r"take pruned.schedule\(optimizer, steps=...\)"):
        pruned.hold(optimizer)
    pruned.schedule(optimizer, steps=5)
    pruned.hold(torch.optim.SGD(pruned.model.parameters(), lr=0.01))  # for what comes after it


@pytest.mark.slow
@in_cuda_process
def test_so_it_is_on_a_gpu_in_half_precision_with_a_gradient_scaler() -> None:
    with PretendedGpu(T4):
        model = seeded_cnn().cuda()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
        pruned = pruning.prune(model, "snip", 0.8, batches=batches(), inplace=True)
        assert all(mask.is_cuda for mask in pruned.masks.values())
        pruned.hold(optimizer)
        scaler = torch.amp.GradScaler("cuda", init_scale=2.0**30)  # overflows at first
        scales = []
        for x, y in batches(4) * 3:
            optimizer.zero_grad()
            with torch.autocast("cuda", dtype=torch.float16):
                loss = cross_entropy(model(x.cuda()), y.cuda())
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            scales.append(scaler.get_scale())
        assert scales[-1] < 2.0**30 and optimizer.state
        assert not masked(pruned).any() and pruned.sparsity == pytest.approx(0.8, abs=1e-3)
