"""A network of 42 weights, its loss and what a method is given to prune it, for tests of scores."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from pruning.masks import all_kept, prunable
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


def drawn(count: int, *, classes: int = 3, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 1, 5, 5, generator=generator, dtype=torch.float64)
    return x, torch.randint(classes, (count,), generator=generator)


def losses(
    model: nn.Module, batches: list[Batch], *, temperature: float = 1.0
) -> Callable[..., Tensor]:
    """Mean cross-entropy over all images as a function of the flat prunable weights, batch
    statistics in force."""
    model.train()
    model[4].eval()  # type: ignore[index, operator]
    weights = prunable(model)

    def loss(flat: Tensor) -> Tensor:
        parts = flat.split([weight.numel() for weight in weights.values()])
        own = {name: part.view_as(weights[name]) for name, part in zip(weights, parts, strict=True)}
        state = {name: value.clone() for name, value in model.state_dict().items()}
        sums = [
            cross_entropy(
                functional_call(model, {**state, **own}, x) / temperature, y, reduction="sum"
            )
            for x, y in batches
        ]
        return torch.stack(sums).sum() / sum(len(y) for _, y in batches)

    return loss


def flatten(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


BATCHES = [drawn(7), drawn(4, seed=1)]
