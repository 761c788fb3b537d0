"""The shuffled control: how many weights each layer keeps, without which ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pruning.controls import Control
from pruning.method import Card, PruneInput
from pruning.phases import Reinitialise, Rewind

if TYPE_CHECKING:
    from pruning.method import Masks
    from pruning.structured.keep_plan import Smaller


class Shuffled(Control):
    """Permute a method's mask within each layer, put back the initial weights, train (Frankle et
    al. 2021).

    Kept: the number of weights of each layer, and the initial weights of the seed. Lost: which
    weights they are. A method that does not beat it has found layer densities, not connections
    (arXiv 2009.08576, section 5).
    """

    card = Card(
        title="Shuffled mask",
        paper="Frankle et al. 2021, arXiv 2009.08576",
        summary=(
            "the mask of another method, shuffled within each layer; initial weights, trained in "
            "full"
        ),
        kind="control",
        cost="the other method up to its last prune, 1 training",
        when="you claim that a method finds the right weights, not only the right layer densities",
        formula=(
            "w ← π(m) ⊙ θ₀; then train\n"
            "m: the mask after the last prune of `of`; π: a permutation within each layer; θ₀: the "
            "initial weights"
        ),
    )
    controls: ClassVar[Literal["unstructured", "structured"]] = "unstructured"
    restart: ClassVar[Rewind | Reinitialise] = Rewind(0)
    of: str = "magnitude"

    def prune(self, inputs: PruneInput) -> Masks | Smaller:
        """The mask of the controlled method, the last one shuffled."""
        import torch

        masks = super().prune(inputs)
        if not isinstance(masks, dict) or not inputs.last:
            return masks
        inputs.notes.append(f"mask of {self.of}, shuffled within layers")
        shuffled = {}
        for name, mask in masks.items():
            order = torch.randperm(mask.numel(), generator=inputs.generator).to(mask.device)
            shuffled[name] = mask.reshape(-1)[order].view_as(mask)
        return shuffled
