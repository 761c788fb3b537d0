"""Images and what a method is given to prune a network for them, for tests of filters."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pruning.masks import all_kept
from pruning.method import PruneInput

torch.set_num_threads(1)

IMAGE = (3, 16, 16)


def images(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    for start in range(0, count, 8):
        size = min(8, count - start)
        yield (
            torch.randn(size, *IMAGE, generator=generator),
            torch.randint(0, 10, (size,), generator=generator),
        )


def prune_input(model: nn.Module, sparsity: float) -> PruneInput:
    return PruneInput(
        model=model,
        masks=all_kept(model),
        sparsity=sparsity,
        generator=torch.Generator().manual_seed(0),
        images=images,
        image=IMAGE,
    )
