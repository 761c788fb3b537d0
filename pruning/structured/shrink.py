"""Physically smaller networks: a network without the channels that a plan drops, and the same
network in the shapes of the original."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pruning.structured.channel_groups import Group, find_groups
from pruning.structured.keep_plan import KeepPlan, check_plan


def shrink(model: nn.Module, keep: KeepPlan, *, image: tuple[int, int, int]) -> nn.Module:
    """A network without the channels that the plan drops; the model itself stays as it is.

    Producers lose outputs, batch-norms and depthwise convolutions lose entries, consumers lose
    input columns (height x width of them per channel after a flatten). Class, layer names, device,
    dtype, memory format, modes and `requires_grad` are the model's.

    Args:
        image: (channels, height, width) of one input.

    Raises:
        UserError: see `channel_groups.find_groups`.
        ValueError: the plan does not fit the network.
    """
    groups, small = _planned_groups(model, keep, image), copy.deepcopy(model)
    for group in groups:
        index, channels = keep[group.name], group.channels
        for layer in map(small.get_submodule, group.producers):
            width = "out_features" if isinstance(layer, nn.Linear) else "out_channels"
            _cut_outputs(layer, index, width=width, channels=channels)
        for layer in map(small.get_submodule, group.depthwise):
            _cut_outputs(layer, index, width="out_channels", channels=channels)
            layer.groups = layer.in_channels = layer.out_channels
        for layer in map(small.get_submodule, group.batch_norms):
            _cut_outputs(layer, index, width="num_features", channels=channels)
        for layer in (small.get_submodule(name) for name, _ in group.consumers):
            width = "in_features" if isinstance(layer, nn.Linear) else "in_channels"
            _cut(layer, ("weight",), index, dim=1, width=width, channels=channels)
    return small


@torch.no_grad()
def zeroed(model: nn.Module, keep: KeepPlan, *, image: tuple[int, int, int]) -> nn.Module:
    """The network that computes in eval mode what `shrink` returns, in the shapes of the original.

    Dropped channels have zero weight rows and bias, and zero batch-norm weight, bias and mean,
    without which a constant would remain in them. Consumers are untouched.

    Raises:
        UserError, ValueError: see `shrink`.
    """
    groups, same = _planned_groups(model, keep, image), copy.deepcopy(model)
    for group in groups:
        dropped = torch.ones(group.channels, dtype=torch.bool)
        dropped[keep[group.name].cpu()] = False
        for name in (*group.producers, *group.depthwise, *group.batch_norms):
            layer = same.get_submodule(name)
            for tensor in (layer.weight, layer.bias, getattr(layer, "running_mean", None)):
                if isinstance(tensor, Tensor):
                    entries = dropped.repeat_interleave(len(tensor) // group.channels)
                    tensor[entries.to(tensor.device)] = 0
    return same


def _planned_groups(model: nn.Module, keep: KeepPlan, image: tuple[int, int, int]) -> list[Group]:
    """The groups that a plan names, after a check that it fits the network."""
    groups = find_groups(model, image)
    check_plan(groups, keep)
    return [group for group in groups if group.name in keep]


def _cut_outputs(layer: nn.Module, index: Tensor, *, width: str, channels: int) -> None:
    """Keep the outputs at `index`: the rows of the weight, and an entry of all else."""
    parts = ("weight", "bias", "running_mean", "running_var")
    present = [name for name in parts if hasattr(layer, name)]
    _cut(layer, present, index, dim=0, width=width, channels=channels)


def _cut(
    layer: nn.Module,
    parts: Sequence[str],
    index: Tensor,
    *,
    dim: int,
    width: str,
    channels: int,
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
            # index_select returns the standard layout.
            taken = taken.contiguous(memory_format=torch.channels_last)
        if isinstance(tensor, nn.Parameter):
            taken = nn.Parameter(taken, tensor.requires_grad)
        setattr(layer, name, taken)
    setattr(layer, width, len(entries))
