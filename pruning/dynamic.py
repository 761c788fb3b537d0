"""What dynamic sparse training shares: a sparse start, and from time to time the smallest kept
weights are replaced by others.

Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import cos, pi
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pruning.method import Method, PruneInput
from pruning.phases import Measure, Phase, PhaseContext, Prune, Train

if TYPE_CHECKING:
    from torch import Tensor

    from pruning.method import Masks


class DynamicSparse(Method):
    """A method that moves its kept weights while it trains; a subclass says which places are worth
    growing.

    The training starts with ERK layer densities, drawn at random. An update takes, in every layer,
    a fraction of the kept weights away, the smallest, and keeps as many others instead, so that the
    count of a layer never changes. As in the official code the first update comes at step 0, and a
    weight just taken away may be chosen again; it then keeps its value, while a new one starts at
    0. Unlike there, the optimiser step is taken in an update, too.

    drop: fraction of a layer's kept weights that the first update moves; it decays to 0 as a
        cosine.
    until: fraction of the training after which nothing moves.
    every: optimiser steps between two updates, fewer in short trainings (see `Method.interval`).
    """

    starts_from: ClassVar[Literal["init", "dense"]] = "init"
    drop: float = Field(default=0.3, gt=0, le=1)
    until: float = Field(default=0.75, gt=0, le=1)
    every: int = Field(default=100, ge=1)

    def phases(self, sparsities: tuple[float, ...], context: PhaseContext) -> list[Phase]:
        (sparsity,) = sparsities
        return [
            Prune(sparsity),
            Train("train", context.train_epochs, updates=True),
            Measure(sparsity),
        ]

    def prune(self, inputs: PruneInput) -> dict[str, Tensor]:
        from pruning.masks import draw_masks

        counts = erk_counts(inputs.masks, inputs.requested_sparsity, inputs.fixed)
        return draw_masks(counts, inputs.masks, inputs.generator)

    def fraction(self, progress: float) -> float:
        """The fraction of a layer's kept weights that an update moves at a point of the training,
        both 0..1."""
        if progress >= self.until:
            return 0.0
        return self.drop * (1 + cos(pi * progress / self.until)) / 2

    def growth(self, inputs: PruneInput) -> dict[str, Tensor] | None:
        """How much every weight is worth growing, in its shape; None leaves the masks unchanged."""
        raise TypeError(f"{type(self).__name__} does not say what it grows")

    def update(self, inputs: PruneInput) -> dict[str, Tensor] | None:
        import torch

        from pruning.top_scores import check_scores, find_top

        fraction = self.fraction(inputs.progress)
        growth = self.growth(inputs) if fraction else None
        if growth is None:
            return None
        weights = inputs.weights
        kept_scores = [
            weight.abs().reshape(-1).masked_fill(~inputs.masks[name].reshape(-1), -torch.inf)
            for name, weight in weights.items()
        ]
        grown_scores = [growth[name].reshape(-1) for name in weights]
        # One check for all layers: the host waits for the device once. Candidates to stay are the
        # weights that are kept now.
        kept = check_scores([*kept_scores, *grown_scores])
        masks = {}
        for index, (name, weight) in enumerate(weights.items()):
            moved = int(fraction * kept[index])
            stays = find_top(kept_scores[index], kept[index] - moved)
            grows = find_top(grown_scores[index].masked_fill(stays, -1), moved)
            masks[name] = (stays | grows).view_as(weight)
        return masks


def erk_counts(masks: Masks, sparsity: float, fixed: Mapping[str, float]) -> dict[str, int]:
    """Kept weights per layer by ERK densities; layers in `fixed` have the sparsity they have there,
    and the rule is over the others."""
    from pruning.masks import erk_densities, kept_count, layer_counts

    shapes = {name: tuple(mask.shape) for name, mask in masks.items() if name not in fixed}
    sizes = {name: mask.numel() for name, mask in masks.items()}
    total = kept_count(sparsity, sum(sizes[name] for name in shapes))
    return layer_counts(erk_densities(shapes, total), sizes, sparsity, fixed)
