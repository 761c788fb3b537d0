"""Magnitude pruning, once, then retraining."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pruning.method import Card, Method, PruneInput
from pruning.phases import Retrain

if TYPE_CHECKING:
    from torch import Tensor


class Magnitude(Method):
    """Keep the weights of largest absolute value in the trained network (Han et al. 2015, arXiv
    1506.02626)."""

    card = Card(
        title="Magnitude",
        paper="Han et al. 2015, arXiv 1506.02626",
        summary="remove the smallest weights of the trained network at once, then retrain",
        kind="unstructured",
        cost="1 retraining",
        when="the baseline every other method has to beat",
        formula="score(w) = |w|; remove the lowest",
    )
    scope: Literal["global", "layer"] = "global"
    retrain: Retrain = "finetune"
    rewind_to: int = 0

    def scores(self, inputs: PruneInput) -> dict[str, Tensor]:
        return {name: weight.abs() for name, weight in inputs.weights.items()}
