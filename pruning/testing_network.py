"""The network, the images and the training on which `pruning.testing` tries a method."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pruning.own_code.pruned import Pruned
from pruning.seeds import derive_seed

IMAGE, CLASSES = (1, 8, 8), 5
STEPS = 5  # optimiser steps of a training


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
