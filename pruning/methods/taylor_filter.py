"""Filter pruning by the estimated change of the loss, once, then retraining."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from pruning.filters import FilterMethod, loss_changes
from pruning.method import Card, PruneInput

if TYPE_CHECKING:
    from torch import Tensor

    from pruning.structured.group_parts import Group


class TaylorFilter(FilterMethod):
    """Remove the filters whose absence changes the loss least (Molchanov et al. 2019, arXiv
    1906.10771).

    examples: training images that the gradients are taken of, in batches of 128: the score is the
        mean over batches of a square, so that it depends on their size.
    """

    card = Card(
        title="Taylor filter",
        paper="Molchanov et al. 2019, arXiv 1906.10771",
        summary=(
            "remove the filters of smallest squared gradient x weight; then retrain the smaller "
            "network"
        ),
        kind="structured",
        cost="a few forward and backward passes, 1 retraining of the smaller network",
        when="labels are at hand and the criterion shall know the task",
        formula=(
            "score of filter F = (Σ ∂L/∂w · w)²    over the weights w of F; mean over batches\n"
            "score of a channel = sum over the layers that write it; remove the lowest of every "
            "group, the same share"
        ),
    )
    examples: int = Field(default=1024, ge=1)

    def channel_scores(self, inputs: PruneInput, groups: Sequence[Group]) -> Mapping[str, Tensor]:
        from pruning.structured.keep_plan import group_scores
        from pruning.structured.unit_scores import writers_of

        images = inputs.images(self.examples)
        return group_scores(groups, loss_changes(inputs.model, writers_of(groups), images))
