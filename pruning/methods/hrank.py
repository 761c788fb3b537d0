"""Filter pruning by the rank of feature maps, layer by layer, with training in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pruning.filters import FilterMethod, is_selected, l1_norms
from pruning.method import Card, PruneInput
from pruning.phases import Measure, Phase, PhaseContext, Prune, Train, retraining

if TYPE_CHECKING:
    from torch import Tensor

    from pruning.structured.group_parts import Group
    from pruning.structured.keep_plan import Smaller


class HRank(FilterMethod):
    """Remove the channels whose maps have the lowest rank, mean over images (Lin et al. 2020, arXiv
    2002.10179).

    Ranks are computed once, on the dense network, and decide which channels of all groups are
    removed; where ranks are equal, the L1 norm of the filters decides. The groups are then cut one
    after the other in the order of the forward pass, each followed by `layer_epochs` epochs of the
    retrain recipe, whose schedule covers just these epochs; at the end the network is retrained in
    full. A level is the cut of one group; the row's level is their number.

    The rank tells channels apart by what the activation cuts off. Behind one that cuts nothing off
    (hardswish, ELU, leaky ReLU, GELU, Mish, tanh, ...), and behind the linear bottlenecks of
    MobileNetV2, nearly all maps have full rank, so that the L1 norm decides; the row then says of
    how many channels.

    The paper gives each layer a ratio of its own, chosen by hand; a study's `layer_sparsity` does
    so, as the fraction of a layer's filters that go.

    images: training images for the ranks.
    layer_by_layer: False cuts all groups at once and only retrains at the end.
    layer_epochs: epochs of training after each group.
    """

    card = Card(
        title="HRank",
        paper="Lin et al. 2020, arXiv 2002.10179",
        summary=(
            "remove the channels whose maps have the lowest rank, layer by layer with training in "
            "between"
        ),
        kind="structured",
        cost="ranks of 640 images, 15 epochs per layer and 1 retraining, of ever smaller networks",
        when=(
            "you can pay for training after each layer; with layer_by_layer: false as any other "
            "filter criterion"
        ),
        formula=(
            "score of channel c = mean over images of rank(map c)    map c: [height, width], after "
            "the activation\n"
            "remove the lowest; equal ranks are told apart by Σ|w| of the filter"
        ),
    )
    # Its scores are places in an order, so that no group has lower ones than another.
    ranking: Literal["uniform"] = "uniform"
    images: int = Field(default=640, ge=1)
    layer_by_layer: bool = True
    layer_epochs: int = Field(default=15, ge=1, le=1000)

    def phases(self, sparsities: tuple[float, ...], context: PhaseContext) -> list[Phase]:
        """Prune and train for each group, then retrain and measure.

        Raises:
            UserError: see `channel_groups.find_groups`.
        """
        if not self.layer_by_layer:
            return super().phases(sparsities, context)
        (sparsity,) = sparsities
        end = retraining(self.retrain, context, rewind_to=self.rewind_to)
        total, residual = context.groups or _count_groups(context)
        cut = total if self.mode == "all" else total - residual
        levels = max(1, cut)  # where there is nothing to cut, the prune raises an error
        phases: list[Phase] = []
        for level in range(1, levels + 1):
            phases += [
                Prune(sparsity, level),
                Train("retrain", self.layer_epochs, length=self.layer_epochs),
            ]
        return [*phases, *end, Measure(sparsity, levels)]

    def channel_scores(self, inputs: PruneInput, groups: Sequence[Group]) -> Mapping[str, Tensor]:
        from pruning.feature_map_ranks import lexicographic, mean_ranks
        from pruning.structured.keep_plan import group_scores
        from pruning.structured.unit_scores import writers_of

        batches = (images for images, _ in inputs.images(self.images))
        ranks = mean_ranks(inputs.model, groups, batches, notes=inputs.notes)
        weights = inputs.weights
        norms = {
            layer: l1_norms(writer.filters(weights[writer.part.tensor])).cpu()
            for layer, writer in writers_of(groups).items()
        }
        return {
            name: lexicographic(ranks[name], norm)
            for name, norm in group_scores(groups, norms).items()
        }

    def prune(self, inputs: PruneInput) -> Smaller:
        """The kept channels of one group, or of all where not `layer_by_layer`; the first call
        decides on all.

        Raises:
            UserError, ValueError: see `FilterMethod.prune` and `feature_map_ranks.mean_ranks`.
        """
        from pruning.structured.keep_plan import Smaller

        if not self.layer_by_layer:
            return super().prune(inputs)
        if not inputs.memory:
            inputs.memory.update(super().prune(inputs).keep)
        name = list(inputs.memory)[inputs.level - 1]
        return Smaller({name: inputs.memory[name]})


def _count_groups(context: PhaseContext) -> tuple[int, int]:
    """Channel groups of the network, and those of them that are residual streams."""
    from pruning.structured.channel_groups import find_groups

    groups = find_groups(context.network, context.image)
    if context.select is not None:
        names = context.select(context.network)
        groups = [group for group in groups if is_selected(group, names)]
    return len(groups), sum(group.residual for group in groups)
