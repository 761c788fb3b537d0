"""Filter pruning by L1 norm, once, then retraining."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pruning.filters import FilterMethod, l1_norms
from pruning.method import Card, PruneInput

if TYPE_CHECKING:
    from torch import Tensor


class L1Filter(FilterMethod):
    """Remove the filters with the smallest sum of absolute weights (Li et al. 2017, arXiv
    1608.08710)."""

    card = Card(
        title="L1 filter",
        paper="Li et al. 2017, arXiv 1608.08710",
        summary=(
            "remove the filters of smallest L1 norm; the network becomes physically smaller, then "
            "retrain"
        ),
        kind="structured",
        cost="1 retraining, of the smaller network",
        when="you need real speed on ordinary hardware; the baseline of structured pruning",
        formula=(
            "score of filter F = Σ |w|    over the weights w of F\n"
            "score of a channel = sum over the layers that write it; remove the lowest of every "
            "group, the same share"
        ),
    )

    def filter_scores(self, inputs: PruneInput, filters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {layer: l1_norms(weight) for layer, weight in filters.items()}
