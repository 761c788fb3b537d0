"""Filter pruning: the base of methods that rank whole filters and remove the lowest, and the
criteria they rank by.

A filter is what produces one channel: a row of a convolution's or a linear layer's weight.
Importing this does not import torch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pruning.method import Method, PruneInput
from pruning.phases import Retrain

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.structured.group_parts import Group
    from pruning.structured.keep_plan import Smaller
    from pruning.structured.unit_scores import Writer


class FilterMethod(Method):
    """A method that removes the channels of lowest score, so that the network becomes physically
    smaller, then retrains it.

    How many channels go is what comes nearest to the requested sparsity. A channel's score is the
    sum over the layers that write into it. A subclass defines `filter_scores`.

    mode: "all" cuts every group; "inner" leaves the residual stream whole and cuts inside the
        blocks only, as Li et al. 2017 (arXiv 1608.08710) do. It makes no
        difference in networks without residual streams.
    ranking: "uniform" removes the same fraction of every group; "global" the lowest of all groups
        together, by scores divided by their mean over the group (as Molchanov et al. 2019 rank
        across layers). Each group keeps at least one channel.
    target: what the requested sparsity is a fraction of, "params" (prunable weights) or "macs" (the
        network's multiply-accumulates); the row's note then has the sparsity of parameters.
    round_to: widths are multiples of it (or the original); 8 and 16 suit the hardware.
    """

    reaches: ClassVar[Literal["exact", "nearest", "own"]] = "nearest"
    mode: Literal["inner", "all"] = "all"
    ranking: Literal["uniform", "global"] = "uniform"
    target: Literal["params", "macs"] = "params"
    round_to: int = Field(default=1, ge=1)
    retrain: Retrain = "finetune"
    rewind_to: int = Field(default=0, ge=0)

    @property
    def takes_layer_sparsity(self) -> bool:
        return True

    def filter_scores(
        self, inputs: PruneInput, filters: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """Importance of every filter, by layer, [outputs] each; the largest are kept.

        Args:
            filters: weights of the layers to rank, by layer (module) name, [outputs, inputs, ...]
                each. Where channels go together, as those of an attention head do, they are one
                output, [outputs, weights].
        """
        raise TypeError(f"{type(self).__name__} does not define filter_scores")

    def channel_scores(self, inputs: PruneInput, groups: Sequence[Group]) -> Mapping[str, Tensor]:
        """Importance of every channel, by group, [channels] each. Default: the sum over the group's
        producers."""
        from pruning.structured.keep_plan import group_scores
        from pruning.structured.unit_scores import writers_of

        weights = inputs.weights
        filters = {
            layer: writer.filters(weights[writer.part.tensor])
            for layer, writer in writers_of(groups).items()
        }
        return group_scores(groups, self.filter_scores(inputs, filters))

    def prune(self, inputs: PruneInput) -> Smaller:
        """The plan of kept channels that comes nearest to the requested sparsity.

        Layers that the study sets apart lose their own fraction of filters, and so does all that
        writes the same channels; the sparsity is then that of the other layers (with "macs" still
        that of the network).

        Raises:
            UserError: see `channel_groups.find_groups` and `layer_ratios.widths_set_apart`.
            ValueError: the network has no group that the mode allows to cut.
        """
        from pruning.structured.channel_groups import analyse, list_fixed
        from pruning.structured.channel_widths import (
            kept_widths,
            nearest_ratio,
            ranked_widths,
            sparsity_of_widths,
        )
        from pruning.structured.keep_plan import Smaller, choose_channels
        from pruning.structured.width_macs import MacsOfWidths

        model, sparsity = inputs.model, inputs.requested_sparsity
        groups = self.groups_to_cut(inputs)
        scores = self.channel_scores(inputs, groups)
        apart = self._widths_set_apart(inputs, groups)
        free = [group for group in groups if group.name not in apart]
        set_apart = {name for group in groups if group.name in apart for name in group.cut_weights}
        others = [name for name in inputs.masks if name not in set_apart]
        macs = MacsOfWidths(model, inputs.image) if self.target == "macs" else None

        def widths(ratio: float) -> dict[str, int]:
            if self.ranking == "global" and free:
                chosen = ranked_widths(free, scores, ratio, round_to=self.round_to)
            else:
                chosen = kept_widths(free, ratio, round_to=self.round_to)
            return {group.name: (apart | chosen)[group.name] for group in groups}

        def sparsity_of(kept: Mapping[str, int], only: Collection[str] = inputs.masks) -> float:
            return sparsity_of_widths(model, groups, kept, only=only)

        def removed(kept: Mapping[str, int]) -> float:
            return macs.removed(kept) if macs else sparsity_of(kept, others)

        ratio = nearest_ratio(lambda ratio: removed(widths(ratio)), sparsity) if free else 0.0
        kept = widths(ratio)
        if not free:
            note = "no layer follows the study's sparsity, as all have a fraction of their own"
        else:
            note, reached = f"channel ratio {ratio:.4f}", removed(kept)
            of = " of the other layers" if apart else ""
            note += of
            if macs:
                note += f", {reached:.4f} of the MACs and {sparsity_of(kept):.4f} of the weights go"
            elif abs(reached - sparsity) > 0.005:
                note += (
                    f", the nearest to sparsity {sparsity:g} that whole channels{of} allow is "
                    f"{reached:.4f}"
                )
            if reached < sparsity - 0.005 and (fixed := list_fixed(analyse(model, inputs.image))):
                note += f"; channels that cannot be removed: {fixed}"
        inputs.notes.append(note)
        return Smaller(choose_channels(groups, scores, kept))

    def _widths_set_apart(self, inputs: PruneInput, groups: Sequence[Group]) -> dict[str, int]:
        """Kept channels of the groups that have a layer with a fraction of its own."""
        from pruning.structured.channel_groups import analyse
        from pruning.structured.layer_ratios import widths_set_apart

        structure = analyse(inputs.model, inputs.image)
        return widths_set_apart(structure, groups, inputs.fixed, round_to=self.round_to)

    def groups_to_cut(self, inputs: PruneInput) -> list[Group]:
        """The channel groups of the network that the mode and the study allow to cut.

        Raises:
            UserError: see `channel_groups.find_groups`.
            ValueError: there is none.
        """
        from pruning.structured.channel_groups import find_groups

        groups = [
            group
            for group in find_groups(inputs.model, inputs.image)
            if (self.mode == "all" or not group.residual) and is_selected(group, inputs.masks)
        ]
        if not groups and self.mode == "all":
            raise ValueError(
                "all channels that could be removed are written by weights that are not pruned"
            )
        if not groups:
            raise ValueError(
                f"mode must leave channels to cut, but '{self.mode}' finds none in this network"
            )
        return groups

    def find_obstacle(self, inputs: PruneInput) -> str | None:
        """Half of the channels are removed from a copy, which raises what stands in the way. What
        is left must compute what the masked network does, and must run in training mode, whose
        layers need not be those of eval mode."""
        from pruning.structured.channel_widths import kept_widths
        from pruning.structured.keep_plan import choose_channels
        from pruning.structured.structure_proof import find_fault, find_training_fault

        groups = self.groups_to_cut(inputs)
        half = kept_widths(groups, 0.5) | self._widths_set_apart(inputs, groups)
        if fault := find_fault(inputs.model, inputs.image):
            return fault
        plan = choose_channels(groups, self.channel_scores(inputs, groups), half)
        (x, _) = next(inputs.images(2))
        return find_training_fault(inputs.model, plan, x, image=inputs.image) or None


def is_selected(group: Group, names: Collection[str]) -> bool:
    """Whether all layers whose channels a group removes are among those to prune; the layers that
    read the channels need not be."""
    return all(name in names for name in group.cut_weights)


FEATURES = 4096  # of the filters in double precision at a time


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

    # By matrix products, in double precision: in single precision the distance of near twins, the
    # filters that matter here, would drown in rounding errors.
    products = filters.new_zeros(len(filters), len(filters), dtype=torch.float64)
    for part in filters.flatten(1).split(FEATURES, dim=1):
        centred = part.double() - part.double().mean(0)
        products.addmm_(centred, centred.T)
    squares = products.diagonal()
    distances = (squares[:, None] + squares - 2 * products).clamp_(min=0).sqrt_()
    return distances.sum(1).to(filters.dtype)


def loss_changes(
    model: nn.Module, writers: Mapping[str, Writer], batches: Iterable[tuple[Tensor, Tensor]]
) -> dict[str, Tensor]:
    """Squared first-order change of the loss when a filter is removed: (sum of gradient x
    weight)^2, the mean over batches.

    Molchanov et al. 2019, arXiv 1906.10771, eq. 8. Without TF32, and in eval mode: with batch
    statistics the loss does not depend on the scale of a filter before batch-norm, so that its sum
    of gradient x weight is 0 however important the filter is.

    Args:
        writers: the layers whose filters are asked for, by name.
        batches: (x [B, C, H, W], y int64 [B]) on the model's device.

    Returns:
        By layer, [outputs].

    Raises:
        ValueError: no batch, or a label that is none of the logits'.
    """
    import torch
    from torch.nn.functional import cross_entropy

    from pruning.eval_mode import exact_eval_mode

    weights = {layer: model.get_parameter(w.part.tensor) for layer, w in writers.items()}
    sums = {layer: weights[layer].detach().new_zeros(w.units) for layer, w in writers.items()}
    count = 0
    with exact_eval_mode(model):
        for x, y in batches:
            with torch.enable_grad():
                logits = model(x)
                _check_labels(y, logits.shape[1])
                gradients = torch.autograd.grad(cross_entropy(logits, y), list(weights.values()))
            for (layer, weight), gradient in zip(weights.items(), gradients, strict=True):
                changes = writers[layer].filters(gradient * weight.detach())
                sums[layer] += changes.flatten(1).sum(1).square()
            count += 1
    if not count:
        raise ValueError("the scores need at least 1 batch, but got 0")
    return {layer: total / count for layer, total in sums.items()}


def _check_labels(y: Tensor, classes: int) -> None:
    """A label of -100 would be passed over by torch, and one too large ends a process on a GPU."""
    lowest, highest = (int(bound) for bound in y.aminmax())
    if not 0 <= lowest <= highest < classes:
        raise ValueError(f"labels must be in [0, {classes}), but got {lowest} to {highest}")
