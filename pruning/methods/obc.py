"""OBC: exact greedy optimal brain surgeon, layer by layer, for layers where it is affordable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pruning.method import Card
from pruning.posttraining import PostTraining, Target

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.layerwise.obs import Solution


class OBC(PostTraining):
    """Remove one weight at a time and adjust all others exactly (Frantar & Alistarh 2022, arXiv
    2208.11580).

    Its cost is rows x columns^3.

    damping: added to the diagonal of H, relative to its mean; ten times as much where a
        factorisation fails.
    max_columns: layers with more columns are pruned by SparseGPT with exact reconstruction, and
        named in the notes.
    """

    card = Card(
        title="OBC",
        paper="Frantar & Alistarh 2022, arXiv 2208.11580",
        summary=(
            "layer by layer from 1,024 images: exact greedy removal, every other weight adjusted "
            "after each"
        ),
        kind="unstructured",
        cost="minutes for small networks, no training",
        when=(
            "the network is small and the best post-training result counts; the yardstick for "
            "SparseGPT"
        ),
        formula=(
            "H = 2/N · Σ xxᵀ + λI    x: inputs of the layer; λ = damping · mean(diag H)\n"
            "remove wⱼ of the lowest wⱼ² / [H⁻¹]ⱼⱼ, then w ← w − wⱼ / [H⁻¹]ⱼⱼ · H⁻¹[:, j] in its "
            "row; again and again"
        ),
    )
    damping: float = Field(default=0.01, ge=0)
    max_columns: int = Field(default=1152, ge=1)

    def observe(self, model: nn.Module, name: str, batches: list[Tensor]) -> Tensor:
        from pruning.layerwise.layer_inputs import hessian

        return hessian(model, name, batches)

    def solve(self, weight: Tensor, observed: Tensor, target: Target) -> tuple[Solution, str]:
        from pruning.layerwise.obc_solver import obc
        from pruning.layerwise.obs import least_squares, sparsegpt

        remarks = []
        if weight.shape[1] <= self.max_columns:
            solution = obc(
                weight, observed, sparsity=target.sparsity, nm=target.nm, damping=self.damping
            )
        else:
            fast = sparsegpt(
                weight, observed, sparsity=target.sparsity, nm=target.nm, damping=self.damping
            )
            solution = least_squares(weight, observed, fast.mask, damping=fast.damping)
            remarks.append("too wide for OBC, pruned by SparseGPT with exact reconstruction")
        if solution.damping > self.damping:
            remarks.append(f"damping {solution.damping:g}")
        return solution, ", ".join(remarks)
