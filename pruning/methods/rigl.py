"""RigL: dynamic sparse training that grows where the dense gradient is large."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pruning.dynamic import DynamicSparse
from pruning.method import Card, PruneInput

if TYPE_CHECKING:
    from torch import Tensor


class RigL(DynamicSparse):
    """Drop the smallest kept weights, grow those of largest gradient (Evci et al. 2020, arXiv
    1911.11134)."""

    card = Card(
        title="RigL",
        paper="Evci et al. 2020, arXiv 1911.11134",
        summary=(
            "train sparse from the start; every 100 steps the smallest weights make way for large "
            "gradients"
        ),
        kind="unstructured",
        cost="1 training",
        when="the network shall never be dense, not even while it trains; needs a long training",
        formula=(
            "every Δt steps, of the k kept weights of every layer, f(t) · k move:\n"
            "f(t) = drop / 2 · (1 + cos(π · t / T))    T: the fraction `until` of the training\n"
            "remove the lowest |w|, grow the highest |∂L/∂w|, from 0"
        ),
    )

    def growth(self, inputs: PruneInput) -> dict[str, Tensor] | None:
        """Absolute gradients; None where one is not finite, as fp16 with a gradient scaler makes
        them now and then."""
        import torch

        from pruning.masks import prunable

        gradients = {
            name: torch.zeros_like(weight) if weight.grad is None else weight.grad.abs()
            for name, weight in prunable(inputs.model, only=inputs.masks).items()
        }
        finite = torch.stack([torch.isfinite(gradient).all() for gradient in gradients.values()])
        return gradients if bool(finite.all()) else None
