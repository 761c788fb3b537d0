"""Physically smaller networks: a plan of kept channels, and the network that is left.

A plan is plain data, so a small network is stored as its configuration, the plan and a state dict:
`shrink` of a fresh network by the same plan takes that state dict.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, prod

import torch
from torch import Tensor, nn

from pruning.masks import keep_top, prunable
from pruning.structured.channel_groups import Group, groups

KeepPlan = Mapping[str, Tensor]
"""Group name -> indices of the kept channels: int64, ascending, at least one. A group it does not name stays whole."""


@dataclass(frozen=True)
class Smaller:
    """What a structured method answers with: a keep-plan for the network it was given."""

    keep: dict[str, Tensor]


def shrink(model: nn.Module, keep: KeepPlan, *, image: tuple[int, int, int]) -> nn.Module:
    """A network without the channels that the plan drops; the model itself stays as it is.

    Producers lose outputs, batch-norms and depthwise convolutions lose entries, consumers lose
    input columns (height x width of them per channel after a flatten). Class, layer names, device,
    dtype, memory format, modes and `requires_grad` are the model's.

    Args:
        image: (channels, height, width) of one input.

    Raises:
        UserError: see `channels.groups`.
        ValueError: the plan does not fit the network.
    """
    found = groups(model, image)
    check(found, keep)
    small = copy.deepcopy(model)
    for group in found:
        if group.name not in keep:
            continue
        index = keep[group.name]
        for name in group.producers:
            layer = small.get_submodule(name)
            width = "out_features" if isinstance(layer, nn.Linear) else "out_channels"
            _cut(layer, ("weight", "bias"), index, dim=0, width=width, channels=group.channels)
        for name in group.depthwise:
            layer = small.get_submodule(name)
            _cut(
                layer,
                ("weight", "bias"),
                index,
                dim=0,
                width="out_channels",
                channels=group.channels,
            )
            layer.groups = layer.in_channels = layer.out_channels
        for name in group.batch_norms:
            parts = ("weight", "bias", "running_mean", "running_var")
            _cut(
                small.get_submodule(name),
                parts,
                index,
                dim=0,
                width="num_features",
                channels=group.channels,
            )
        for name, _ in group.consumers:
            layer = small.get_submodule(name)
            width = "in_features" if isinstance(layer, nn.Linear) else "in_channels"
            _cut(layer, ("weight",), index, dim=1, width=width, channels=group.channels)
    return small


@torch.no_grad()
def zeroed(model: nn.Module, keep: KeepPlan, *, image: tuple[int, int, int]) -> nn.Module:
    """The network that computes in eval mode what `shrink` returns, in the shapes of the original.

    Dropped channels have zero weight rows and bias, and zero batch-norm weight, bias and mean,
    without which a constant would live on in them. Consumers are untouched.

    Raises:
        UserError, ValueError: see `shrink`.
    """
    found = groups(model, image)
    check(found, keep)
    same = copy.deepcopy(model)
    for group in found:
        if group.name not in keep:
            continue
        dropped = torch.ones(group.channels, dtype=torch.bool)
        dropped[keep[group.name].cpu()] = False
        for name in (*group.producers, *group.depthwise, *group.batch_norms):
            layer = same.get_submodule(name)
            for tensor in (layer.weight, layer.bias, getattr(layer, "running_mean", None)):
                if isinstance(tensor, Tensor):
                    tensor[
                        dropped.repeat_interleave(len(tensor) // group.channels).to(tensor.device)
                    ] = 0
    return same


def check(found: Sequence[Group], keep: KeepPlan) -> None:
    """Pass if the plan fits the groups.

    Raises:
        ValueError: an unknown group, or indices that are not int64, ascending, within the group and
            at least one.
    """
    channels = {group.name: group.channels for group in found}
    for name, index in keep.items():
        if name not in channels:
            raise ValueError(f"no channel group '{name}'; there are: {', '.join(channels)}")
        if index.dtype != torch.int64 or index.dim() != 1:
            raise ValueError(
                f"kept channels of '{name}' must be int64 [n], but are {index.dtype} {list(index.shape)}"
            )
        if not len(index):
            raise ValueError(
                f"group '{name}' must keep at least 1 of its {channels[name]} channels, but keeps 0"
            )
        if index[0] < 0 or index[-1] >= channels[name] or bool((index.diff() <= 0).any()):
            raise ValueError(
                f"kept channels of '{name}' must ascend within 0 ... {channels[name] - 1}"
            )


def widths(
    found: Sequence[Group], ratio: float, *, round_to: int = 1, minimum: int = 1
) -> dict[str, int]:
    """Number of kept channels per group when a fraction `ratio` of its channels is to go.

    The nearest multiple of `round_to`, up on a tie; the original width counts as one. Never under
    `minimum` nor 0: a group that is narrower than that stays whole.

    Raises:
        ValueError: ratio outside [0, 1], or `round_to` or `minimum` below 1.
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"the channel ratio must be in [0, 1], but got {ratio}")
    if round_to < 1 or minimum < 1:
        raise ValueError(
            f"round_to and minimum must be at least 1, but got {round_to} and {minimum}"
        )
    smallest = ceil(minimum / round_to) * round_to
    kept = {}
    for group in found:
        wanted = (1 - ratio) * group.channels
        lower = floor(wanted / round_to) * round_to
        upper = min(lower + round_to, group.channels)
        nearest = lower if wanted - lower < upper - wanted else upper
        kept[group.name] = min(max(nearest, smallest), group.channels)
    return kept


def sparsity_of_widths(model: nn.Module, found: Sequence[Group], kept: Mapping[str, int]) -> float:
    """Fraction of the prunable weights (convolutions, linear) that go when each group keeps so many
    channels. Exact.

    Args:
        kept: by group; a group it does not name stays whole.
    """
    shapes = {name: list(weight.shape) for name, weight in prunable(model).items()}
    total = sum(map(prod, shapes.values()))
    for group in found:
        left = kept.get(group.name, group.channels)
        for name in (*group.producers, *group.depthwise):
            shapes[f"{name}.weight"][0] = left
        for name, columns in group.consumers:
            shapes[f"{name}.weight"][1] = left * columns
    return 1 - sum(map(prod, shapes.values())) / total


def parameter_sparsity(model: nn.Module, keep: KeepPlan, *, image: tuple[int, int, int]) -> float:
    """Fraction of the prunable weights that a plan takes away. Exact, and without building the
    small network.

    Raises:
        UserError, ValueError: see `shrink`.
    """
    found = groups(model, image)
    check(found, keep)
    return sparsity_of_widths(model, found, {name: len(index) for name, index in keep.items()})


def find_ratio(
    model: nn.Module,
    found: Sequence[Group],
    sparsity: float,
    *,
    round_to: int = 1,
    minimum: int = 1,
) -> float:
    """The channel ratio whose `widths` come nearest to a parameter sparsity; of two as near, the
    larger network's.

    A ratio p keeps about (1 - p)^2 of the weights. Widths are whole numbers, groups of one width
    step together, and layers outside `found` keep their weights, so the sparsity can be missed: by
    little as a rule, by much with a large `round_to`, in a small network, or where even the minimum
    leaves more. `sparsity_of_widths` tells.

    Args:
        found: the groups that may be cut; all or some of the model's.

    Raises:
        ValueError: sparsity outside [0, 1), or see `widths`.
    """
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity must be in [0, 1), but got {sparsity}")

    def reached(ratio: float) -> float:
        return sparsity_of_widths(
            model, found, widths(found, ratio, round_to=round_to, minimum=minimum)
        )

    low, high = 0.0, 1.0
    if sparsity == 0:
        return low
    if reached(high) <= sparsity:
        return high
    while (
        high - low > 1e-9
    ):  # reached(low) <= sparsity < reached(high); 1e-9 is far below one channel of any layer
        middle = (low + high) / 2
        low, high = (middle, high) if reached(middle) <= sparsity else (low, middle)
    return low if sparsity - reached(low) <= reached(high) - sparsity else high


def choose(
    found: Sequence[Group], scores: Mapping[str, Tensor], kept: Mapping[str, int]
) -> dict[str, Tensor]:
    """The plan that keeps the `kept` channels of highest score in each group; ties go to the lower
    index.

    Args:
        scores: by group, [channels] each.
        kept: by group, see `widths`; a group it does not name stays whole and out of the plan.

    Raises:
        ValueError: a score is NaN, or not one per channel.
    """
    plan = {}
    for group in found:
        if group.name in kept:
            score = scores[group.name].detach().cpu()
            if score.shape != (group.channels,):
                raise ValueError(
                    f"scores of '{group.name}' must be [{group.channels}], but are {list(score.shape)}"
                )
            plan[group.name] = torch.nonzero(keep_top(score, kept[group.name])).flatten()
    return plan


def group_scores(found: Sequence[Group], scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Scores per group, [channels]: the sum over the group's producers of their scores, [outputs]
    each, by layer."""
    return {
        group.name: torch.stack([scores[name] for name in group.producers]).sum(0)
        for group in found
    }


def _cut(
    layer: nn.Module, parts: Sequence[str], index: Tensor, *, dim: int, width: str, channels: int
) -> None:
    """Keep what belongs to the channels at `index` in a layer's parameters and buffers, and correct
    its width field.

    A channel takes as many neighbouring entries as the layer is wider than the group.
    """
    columns = getattr(layer, width) // channels
    entries = (index[:, None] * columns + torch.arange(columns, device=index.device)).flatten()
    for name in parts:
        tensor = getattr(layer, name)
        if tensor is None:
            continue
        taken = tensor.detach().index_select(dim, entries.to(tensor.device))
        if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
            taken = taken.contiguous(
                memory_format=torch.channels_last
            )  # index_select returns the standard layout
        setattr(
            layer,
            name,
            nn.Parameter(taken, tensor.requires_grad)
            if isinstance(tensor, nn.Parameter)
            else taken,
        )
    setattr(layer, width, len(entries))
