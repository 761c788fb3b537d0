"""A small training for the tests of this folder: drawn batches, one epoch."""

import torch
from torch import Tensor, nn

from pruning.held_masks import HeldMasks
from trainables.training.epoch import Epoch
from trainables.training.learning_rate import learning_rate
from trainables.training.optimizer import make_optimizer
from trainables.training.recipe import Recipe

CPU = torch.device("cpu")


def batches(count: int = 6, size: int = 32) -> list[tuple[Tensor, Tensor]]:
    drawn = torch.Generator().manual_seed(0)
    x = torch.randn(count, size, 1, 8, 8, generator=drawn) * 2 + 1
    return list(zip(x, torch.randint(0, 10, (count, size), generator=drawn), strict=True))


def train(
    model: nn.Module, recipe: Recipe, held: HeldMasks, data: list[tuple[Tensor, Tensor]]
) -> float:
    ended = Epoch(
        model,
        data,
        steps=len(data),
        optimizer=make_optimizer(model, recipe),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        held=held,
        learning_rate=lambda part: learning_rate(recipe, part),
        precision="fp32",
        device=CPU,
    ).train(lambda: False)
    assert ended
    return ended.loss
