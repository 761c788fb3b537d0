"""Magnitude pruning before training: the baseline of methods that prune at initialisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pruning.method import Card, Method, PruneInput

if TYPE_CHECKING:
    from torch import Tensor


class MagnitudeInit(Method):
    """Keep the initial weights of largest absolute value (Frankle et al. 2021, arXiv 2009.08576).

    With `scope: global`, layers whose initial weights are small by their width lose most, so that
    it empties whole layers at far lower sparsities than SynFlow (Tanaka et al. 2020, figure 1).
    """

    card = Card(
        title="Magnitude at initialisation",
        paper="Frankle et al. 2021, arXiv 2009.08576",
        summary="before training: keep the largest of the weights as they were drawn",
        kind="unstructured",
        cost="1 training",
        when="a baseline for snip, grasp and synflow that looks at neither data nor network",
        formula="score(w) = |w| of the initial network; remove the lowest",
    )
    starts_from: ClassVar[Literal["init", "dense"]] = "init"
    in_all: ClassVar[bool] = False
    scope: Literal["global", "layer"] = "global"

    def scores(self, inputs: PruneInput) -> dict[str, Tensor]:
        return {name: weight.abs() for name, weight in inputs.weights.items()}
