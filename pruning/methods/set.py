"""SET: dynamic sparse training that grows at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pruning.dynamic import DynamicSparse
from pruning.method import Card, PruneInput

if TYPE_CHECKING:
    from torch import Tensor


class SparseEvolution(DynamicSparse):
    """Drop the smallest kept weights, grow others at random (Mocanu et al. 2018, Nature
    Communications 9:2383).

    In the form in which RigL's authors compare with it: a fraction that decays, and new weights
    that start at 0.
    """

    card = Card(
        title="SET",
        paper="Mocanu et al. 2018, arXiv 1707.04780",
        summary=(
            "train sparse from the start; every 100 steps the smallest weights make way for random "
            "others"
        ),
        kind="unstructured",
        cost="1 training",
        when="beside RigL, to see what its gradients are worth; never needs a dense gradient",
        formula=(
            "every Δt steps, of the k kept weights of every layer, f(t) · k move:\n"
            "f(t) = drop / 2 · (1 + cos(π · t / T))    T: the fraction `until` of the training\n"
            "remove the lowest |w|, grow others at random, from 0"
        ),
    )

    def growth(self, inputs: PruneInput) -> dict[str, Tensor]:
        import torch

        drawn = [
            torch.rand(mask.numel(), generator=inputs.generator) for mask in inputs.masks.values()
        ]
        # One copy to the device for all layers, since the host waits for each.
        device = next(iter(inputs.masks.values())).device
        parts = torch.cat(drawn).to(device).split([len(part) for part in drawn])
        return {
            name: part.view(mask.shape)
            for (name, mask), part in zip(inputs.masks.items(), parts, strict=True)
        }
