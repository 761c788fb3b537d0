"""Filter pruning by L2 norm, once, then retraining."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pruning.filters import FilterMethod, l2_norms
from pruning.method import Card, PruneInput

if TYPE_CHECKING:
    from torch import Tensor


class L2Filter(FilterMethod):
    """Remove the filters of smallest Euclidean length (compared with L1 in Li et al. 2017, arXiv
    1608.08710)."""

    card = Card(
        title="L2 filter",
        paper="Li et al. 2017, arXiv 1608.08710",
        summary=(
            "remove the filters of smallest L2 norm; the network becomes physically smaller, then "
            "retrain"
        ),
        kind="structured",
        cost="1 retraining, of the smaller network",
        when="beside l1_filter, to see how much the choice of the norm matters",
        formula=(
            "score of filter F = √(Σ w²)    over the weights w of F\n"
            "score of a channel = sum over the layers that write it; remove the lowest of every "
            "group, the same share"
        ),
    )

    def filter_scores(self, inputs: PruneInput, filters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {layer: l2_norms(weight) for layer, weight in filters.items()}
