"""Filter pruning: the base of methods that rank whole filters and remove the lowest, and the
criteria they rank by.

A filter is what produces one channel: a row of a convolution's or a linear layer's weight.
Importing this does not import torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pruning.method import Method, PruneInput
from pruning.phases import Retrain

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.structured.channel_groups import Group
    from pruning.structured.keep_plan import Smaller


class FilterMethod(Method):
    """A method that removes the channels of lowest score, so that the network becomes physically
    smaller, then retrains it.

    Every group loses the same fraction of its channels, the one that comes nearest to the requested
    sparsity of parameters. A channel's score is the sum over the layers that write into it. A
    subclass defines `filter_scores`.

    mode: "all" cuts every group; "inner" leaves the residual stream whole and cuts inside the
        blocks only, as Li et al. 2017 (arXiv 1608.08710) do. It makes no
        difference in networks without residual streams.
    round_to: widths are multiples of it (or the original); 8 and 16 suit the hardware.
    """

    reaches: ClassVar[Literal["exact", "nearest", "own"]] = "nearest"
    mode: Literal["inner", "all"] = "all"
    round_to: int = Field(default=1, ge=1)
    retrain: Retrain = "finetune"
    rewind_to: int = Field(default=0, ge=0)

    def filter_scores(
        self, inputs: PruneInput, filters: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """Importance of every filter, by layer, [outputs] each; the largest are kept.

        Args:
            filters: weights of the layers to rank, by layer (module) name, [outputs, inputs, ...]
                each.
        """
        raise TypeError(f"{type(self).__name__} does not define filter_scores")

    def channel_scores(self, inputs: PruneInput, groups: Sequence[Group]) -> Mapping[str, Tensor]:
        """Importance of every channel, by group, [channels] each. Default: the sum over the group's
        producers."""
        from pruning.structured.keep_plan import group_scores

        weights = inputs.weights
        filters = {
            layer: weights[f"{layer}.weight"] for group in groups for layer in group.producers
        }
        return group_scores(groups, self.filter_scores(inputs, filters))

    def prune(self, inputs: PruneInput) -> Smaller:
        """The plan of kept channels whose parameter sparsity is nearest to the requested one.

        Raises:
            UserError: see `channel_groups.find_groups`.
            ValueError: the network has no group that the mode allows to cut.
        """
        from pruning.structured.channel_groups import find_groups
        from pruning.structured.channel_widths import find_ratio, kept_widths, sparsity_of_widths
        from pruning.structured.keep_plan import Smaller, choose_channels

        model, sparsity = inputs.model, inputs.requested_sparsity
        groups = [
            group
            for group in find_groups(model, inputs.image)
            if self.mode == "all" or not group.residual
        ]
        if not groups:
            raise ValueError(
                f"mode must leave channels to cut, but '{self.mode}' finds none in this network"
            )
        ratio = find_ratio(model, groups, sparsity, round_to=self.round_to)
        kept = kept_widths(groups, ratio, round_to=self.round_to)
        plan = choose_channels(groups, self.channel_scores(inputs, groups), kept)
        reached = sparsity_of_widths(model, groups, kept)
        note = f"channel ratio {ratio:.4f}"
        if abs(reached - sparsity) > 0.005:
            note += (
                f", the nearest to sparsity {sparsity:g} that whole channels allow is {reached:.4f}"
            )
        inputs.notes.append(note)
        return Smaller(plan)


def l1_norms(filters: Tensor) -> Tensor:
    """Sum of absolute weights per filter, [outputs] (Li et al. 2017, arXiv 1608.08710)."""
    return filters.flatten(1).abs().sum(1)


def l2_norms(filters: Tensor) -> Tensor:
    """Euclidean length per filter, [outputs]."""
    return filters.flatten(1).square().sum(1).sqrt()


def distance_sums(filters: Tensor) -> Tensor:
    """Sum of a filter's Euclidean distances to the others of its layer, [outputs] (He et al. 2019,
    arXiv 1811.00250).

    It is lowest near the geometric median: such a filter is the easiest for the others to stand in
    for.
    """
    import torch

    flat = filters.flatten(1)
    # By matrix products the distance of near twins, the filters that matter here, would drown in
    # rounding errors.
    return torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist").sum(1)


def loss_changes(
    model: nn.Module, filters: Mapping[str, Tensor], batches: Iterable[tuple[Tensor, Tensor]]
) -> dict[str, Tensor]:
    """Squared first-order change of the loss when a filter is removed: (sum of gradient x
    weight)^2, the mean over batches.

    Molchanov et al. 2019, arXiv 1906.10771, eq. 8. In eval mode: with batch statistics the loss
    does not depend on the scale of a filter before batch-norm, so that its sum of gradient x weight
    is 0 however important the filter is.

    Args:
        filters: by layer (module) name, as the model holds them.
        batches: (x [B, C, H, W], y int64 [B]) on the model's device.

    Returns:
        By layer, [outputs].

    Raises:
        ValueError: no batch.
    """
    import torch
    from torch.nn.functional import cross_entropy

    from pruning.eval_mode import eval_mode

    weights = {layer: model.get_parameter(f"{layer}.weight") for layer in filters}
    sums = {layer: weight.detach().new_zeros(len(weight)) for layer, weight in weights.items()}
    count = 0
    with eval_mode(model):
        for x, y in batches:
            with torch.enable_grad():
                gradients = torch.autograd.grad(cross_entropy(model(x), y), list(weights.values()))
            for (layer, weight), gradient in zip(weights.items(), gradients, strict=True):
                sums[layer] += (gradient * weight.detach()).flatten(1).sum(1).square()
            count += 1
    if not count:
        raise ValueError("the scores need at least 1 batch, but got 0")
    return {layer: total / count for layer, total in sums.items()}
