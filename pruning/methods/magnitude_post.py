"""Magnitude pruning without any training after it: the baseline of the post-training methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pruning.method import Card
from pruning.posttraining import PostTraining, Target

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.layerwise.obs import Solution


class MagnitudePost(PostTraining):
    """Keep the largest weights of each layer, unstructured or n:m, and change none (as in arXiv
    2301.00774, tables)."""

    card = Card(
        title="Magnitude (post-training)",
        paper="Frantar & Alistarh 2023, arXiv 2301.00774 (baseline)",
        summary=(
            "remove the smallest weights of each layer, unstructured or n:m, and do not train again"
        ),
        kind="unstructured",
        cost="seconds, no training",
        when="beside SparseGPT, Wanda and OBC, which must beat it",
        formula=(
            "score(w) = |w|; remove the lowest, in every layer the same share, or all but n of "
            "every m inputs"
        ),
    )

    def observe(self, model: nn.Module, name: str, batches: list[Tensor]) -> Tensor:
        import torch

        from pruning.layerwise.layer_inputs import layer_of

        return torch.zeros(getattr(layer_of(model, name), "groups", 1), 1)

    def solve(self, weight: Tensor, observed: Tensor, target: Target) -> tuple[Solution, str]:
        from pruning.layerwise.obs import Solution, magnitude_mask

        mask = magnitude_mask(weight, sparsity=target.sparsity, nm=target.nm)
        return Solution(weight * mask, mask, 0.0), ""
