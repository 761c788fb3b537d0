"""Filter pruning by geometric median, once, then retraining."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pruning.filters import FilterMethod, distance_sums
from pruning.method import Card, PruneInput

if TYPE_CHECKING:
    from torch import Tensor


class Fpgm(FilterMethod):
    """Remove the filters nearest to the geometric median of their layer (He et al. 2019, arXiv
    1811.00250)."""

    card = Card(
        title="FPGM",
        paper="He et al. 2019, arXiv 1811.00250",
        summary=(
            "remove the filters that the others of the layer can best stand in for; then retrain "
            "what is left"
        ),
        kind="structured",
        cost="1 retraining, of the smaller network",
        when="filter norms are all alike, so that a norm cannot tell which filter is redundant",
        formula=(
            "score of filter i = Σⱼ ‖Fᵢ − Fⱼ‖₂    over the filters j of its layer\n"
            "score of a channel = sum over the layers that write it; remove the lowest of every "
            "group, the same share"
        ),
    )

    def filter_scores(self, inputs: PruneInput, filters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {layer: distance_sums(weight) for layer, weight in filters.items()}
