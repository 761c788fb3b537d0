"""Wanda: magnitude times the norm of the input, compared within each output; surviving weights stay
as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pruning.method import Card
from pruning.posttraining import PostTraining, Target

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.layerwise.obs import Solution


class Wanda(PostTraining):
    """Keep the largest |w_ij| * ||x_j|| of each output row (Sun et al. 2023, arXiv 2306.11695).

    The images run in batches of 128, whose statistics batch-norm takes, as where it is recalibrated
    (decision 7): the result depends on their size.
    """

    card = Card(
        title="Wanda",
        paper="Sun et al. 2023, arXiv 2306.11695",
        summary=(
            "layer by layer from 1,024 images: prune by weight times input norm within each "
            "output, no update"
        ),
        kind="unstructured",
        cost="seconds, no training",
        when=(
            "as SparseGPT, when even its solves are too dear; the control for what weight updates "
            "are worth"
        ),
        formula=(
            "score(wᵢⱼ) = |wᵢⱼ| · ‖xⱼ‖₂    xⱼ: input j over all images and positions\n"
            "remove the lowest of every row i, the same share of each"
        ),
    )

    def observe(self, model: nn.Module, name: str, batches: list[Tensor]) -> Tensor:
        from pruning.layerwise.layer_inputs import input_norms

        return input_norms(model, name, batches)

    def solve(self, weight: Tensor, observed: Tensor, target: Target) -> tuple[Solution, str]:
        from pruning.layerwise.obs import Solution, wanda_mask

        mask = wanda_mask(weight, observed, sparsity=target.sparsity, nm=target.nm)
        return Solution(weight.masked_fill(~mask, 0), mask, 0.0), ""
