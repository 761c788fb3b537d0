"""SparseGPT for convolutional networks: layer-wise pruning with the error passed on to the weights
still to come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from pruning.method import Card
from pruning.posttraining import PostTraining, Target

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.layerwise.obs import Solution


class SparseGPT(PostTraining):
    """Prune each layer by optimal-brain-surgeon scores, columns in order (Frantar & Alistarh 2023,
    arXiv 2301.00774).

    reconstruct: "exact" then replaces the surviving weights by the least-squares solution on the
        mask that was found.
    block: columns that are ranked together.
    damping: added to the diagonal of H, relative to its mean; ten times as much where a
        factorisation fails.
    """

    card = Card(
        title="SparseGPT",
        paper="Frantar & Alistarh 2023, arXiv 2301.00774",
        summary=(
            "layer by layer from 1,024 images: prune by second-order scores and let the other "
            "weights compensate"
        ),
        kind="unstructured",
        cost="minutes, no training",
        when="the trained network is given, retraining is not affordable, or 2:4 is wanted",
        formula=(
            "H = 2/N · Σ xxᵀ + λI    x: inputs of the layer; λ = damping · mean(diag H)\n"
            "H⁻¹ = UᵀU    U: upper triangular\n"
            "score(wᵢⱼ) = (wᵢⱼ / Uⱼⱼ)²    in blocks of 128 columns; remove the lowest\n"
            "for each removed one, column by column: w[i, j+1:] ← w[i, j+1:] − wᵢⱼ / Uⱼⱼ · U[j, "
            "j+1:]"
        ),
    )
    reconstruct: Literal["fast", "exact"] = "fast"
    block: int = Field(default=128, ge=1)
    damping: float = Field(default=0.01, ge=0)

    @model_validator(mode="after")
    def _whole_runs(self) -> SparseGPT:
        if self.nm and self.block % self.nm[1]:
            raise ValueError(f"block must be a multiple of m = {self.nm[1]}, but got {self.block}")
        return self

    def observe(self, model: nn.Module, name: str, batches: list[Tensor]) -> Tensor:
        from pruning.layerwise.layer_inputs import hessian

        return hessian(model, name, batches)

    def solve(self, weight: Tensor, observed: Tensor, target: Target) -> tuple[Solution, str]:
        from pruning.layerwise.obs import least_squares, sparsegpt

        solution = sparsegpt(
            weight,
            observed,
            sparsity=target.sparsity,
            nm=target.nm,
            block=self.block,
            damping=self.damping,
        )
        if self.reconstruct == "exact":
            solution = least_squares(weight, observed, solution.mask, damping=solution.damping)
        return solution, f"damping {solution.damping:g}" if solution.damping > self.damping else ""
