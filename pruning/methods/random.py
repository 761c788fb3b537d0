"""Random pruning: the control without which no claim stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pruning.method import Card, Method, PruneInput

if TYPE_CHECKING:
    from torch import Tensor


class Random(Method):
    """Keep weights drawn at random before training, uniformly or with Erdos-Renyi-kernel layer densities.

    ERK makes a layer's density proportional to (in + out + kh + kw) / (in * out * kh * kw), so that small layers stay
    denser (Evci et al. 2020, arXiv 1911.11134).
    """

    card = Card(
        title="Random",
        paper="Evci et al. 2020, arXiv 1911.11134 (ERK)",
        summary="remove weights at random before training; layers alike (uniform) or by ERK densities",
        kind="control",
        cost="1 training",
        when="always: a method that does not beat it has shown nothing",
    )
    starts_from: ClassVar[Literal["init", "dense"]] = "init"
    layers: Literal["uniform", "erk"] = "uniform"

    def prune(self, at: PruneInput) -> dict[str, Tensor]:
        import torch

        from pruning.masks import keep_top, kept_count, spread

        weights = at.weights
        sizes = {name: weight.numel() for name, weight in weights.items()}
        total = kept_count(at.sparsity, sum(sizes.values()))
        if self.layers == "erk":
            densities = erk_densities({name: tuple(weight.shape) for name, weight in weights.items()}, total)
        else:
            densities = dict.fromkeys(weights, 1 - at.sparsity)
        counts = spread(densities, sizes, total)
        masks = {}
        for name, weight in weights.items():
            scores = torch.rand(sizes[name], generator=at.generator).to(weight.device)
            scores = scores.masked_fill(~at.masks[name].reshape(-1), -torch.inf)
            masks[name] = keep_top(scores, counts[name]).view_as(weight)
        return masks


def erk_densities(shapes: dict[str, tuple[int, ...]], total: int) -> dict[str, float]:
    """Layer densities by the Erdos-Renyi-kernel rule for `total` kept weights; layers that would exceed 1 are dense."""
    from math import prod

    sizes = {name: prod(shape) for name, shape in shapes.items()}
    raw = {name: sum(shape) / prod(shape) for name, shape in shapes.items()}
    dense: set[str] = set()
    while True:
        free = [name for name in shapes if name not in dense]
        left = total - sum(sizes[name] for name in dense)
        weight = sum(raw[name] * sizes[name] for name in free)
        scale = left / weight if weight else 0.0
        over = {name for name in free if raw[name] * scale > 1}
        if not over:
            return {name: 1.0 if name in dense else raw[name] * scale for name in shapes}
        dense |= over
