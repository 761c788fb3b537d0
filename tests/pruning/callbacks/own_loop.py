"""The training loop that the libraries are compared with: the one of docs/in-your-own-code.md."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import pruning
from pruning.masks import prunable
from tests.pruning.own_code.small_cnn import IMAGE, batches

Make = Callable[[nn.Module], torch.optim.Optimizer]
OPTIMIZERS: dict[str, Make] = {
    "sgd": lambda model: torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01
    ),
    "adamw": lambda model: torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1),
}
METHODS = {"magnitude": {}, "gmp": {"every": 1}, "rigl": {"every": 1}}
BATCHES, EPOCHS, ACCUMULATE, CLIP = 6, 2, 2, 0.05
STEPS = BATCHES * EPOCHS // ACCUMULATE


def network(seed: int = 0) -> nn.Module:
    """A network that draws nothing while it trains, so that loops can be compared."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 4),
    )


def prune(method: str) -> pruning.Pruned:
    return pruning.prune(network(), method, 0.8, image=IMAGE, knobs=METHODS[method])


def train(pruned: pruning.Pruned, optimizer: torch.optim.Optimizer, *, late: bool = False) -> None:
    """Two epochs in bf16, two batches for each optimiser step, its gradient clipped.

    Args:
        late: gradients are clipped before the schedule sees them, as `Trainer` does.
    """
    schedule = pruned.schedule(optimizer, steps=STEPS) if pruned.changes_masks else None
    hold = schedule.hold if schedule else pruned.hold(optimizer)
    model = pruned.model.train()
    for _ in range(EPOCHS):
        for number, (x, y) in enumerate(batches(BATCHES), 1):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = model(x)
                loss = cross_entropy(logits, y)
            (loss / ACCUMULATE).backward()
            if number % ACCUMULATE:
                continue
            if schedule and not late:
                schedule.step()
            if not (schedule and late):
                hold.mask_gradients()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            if schedule and late:
                schedule.step()
                hold.mask_gradients()
            optimizer.step()
            optimizer.zero_grad()


def weights(pruned: pruning.Pruned) -> dict[str, Tensor]:
    """All parameters and buffers, copied."""
    return {name: value.detach().clone() for name, value in pruned.model.state_dict().items()}


def check_zeros(pruned: pruning.Pruned) -> None:
    """Pass if masked weights are exactly zero, at the sparsity that was asked for."""
    left = prunable(pruned.model)
    assert all(not left[name][~mask].any() for name, mask in pruned.masks.items())
    assert abs(pruned.sparsity - 0.8) < 2e-3
