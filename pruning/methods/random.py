"""Random pruning: the control without which no claim stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pruning.dynamic import erk_counts
from pruning.method import Card, Method, PruneInput

if TYPE_CHECKING:
    from torch import Tensor


class Random(Method):
    """Keep weights drawn at random before training, uniformly or with Erdos-Renyi-kernel layer
    densities.

    layers: "uniform" prunes all layers alike. "erk" makes a layer's density proportional to (in +
        out + kh + kw) / (in * out * kh * kw), so that small layers stay denser (Evci et al. 2020,
        arXiv 1911.11134).
    """

    card = Card(
        title="Random",
        paper="Evci et al. 2020, arXiv 1911.11134 (ERK)",
        summary=(
            "remove weights at random before training; layers alike (uniform) or by ERK densities"
        ),
        kind="control",
        cost="1 training",
        when="always: a method that does not beat it has shown nothing",
        formula=(
            "score(w) ~ U(0, 1); remove the lowest of each layer\n"
            "uniform: density of a layer = 1 − s\n"
            "erk: density of a layer ∝ (in + out + kh + kw) / (in · out · kh · kw), at most 1"
        ),
    )
    starts_from: ClassVar[Literal["init", "dense"]] = "init"
    layers: Literal["uniform", "erk"] = "uniform"

    def prune(self, inputs: PruneInput) -> dict[str, Tensor]:
        from pruning.masks import draw_masks, layer_counts

        sparsity = inputs.requested_sparsity
        if self.layers == "erk":
            counts = erk_counts(inputs.masks, sparsity, inputs.fixed)
        else:
            sizes = {name: mask.numel() for name, mask in inputs.masks.items()}
            counts = layer_counts(dict.fromkeys(sizes, 1 - sparsity), sizes, sparsity, inputs.fixed)
        return draw_masks(counts, inputs.masks, inputs.generator)
