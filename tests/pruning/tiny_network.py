"""A network of 42 weights, and what a method is given to prune it, for tests of scores."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from pruning.masks import all_kept
from pruning.method import PruneInput

torch.set_num_threads(1)
Batch = tuple[Tensor, Tensor]


def tiny(classes: int = 3) -> nn.Module:
    """A smooth network of 42 prunable weights on [B, 1, 5, 5] in float64, with batch-norm and
    dropout."""
    torch.manual_seed(1)
    layers = [
        nn.Conv2d(1, 2, 3, stride=2),
        nn.BatchNorm2d(2),
        nn.Tanh(),
        nn.Flatten(),
        nn.Dropout(0.5),
    ]
    model = nn.Sequential(*layers, nn.Linear(8, classes)).double()
    model[1].running_mean.fill_(0.3)  # type: ignore[operator, union-attr]
    return model


def prune_inputs(
    model: nn.Module, images: Callable[[int], Iterator[Batch]], *, sparsity: float = 0.5
) -> PruneInput:
    return PruneInput(
        model=model,
        masks=all_kept(model),
        sparsity=sparsity,
        generator=torch.Generator(),
        images=images,
        image=(1, 5, 5),
    )
