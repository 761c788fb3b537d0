"""Cuts in place: units removed from a network, or set to zero in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pruning.structured.group_parts import Attribute, Group, Structure
from pruning.structured.keep_plan import KeepPlan
from pruning.structured.narrow_attention import replacement


def cut(model: nn.Module, structure: Structure, keep: KeepPlan) -> None:
    """Remove units from a network, in place."""
    kept = kept_entries(structure.groups, keep)
    tensors: dict[str, Tensor] = dict([*model.named_parameters(), *model.named_buffers()])
    old = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    made: dict[int, Tensor] = {}
    for name, dims in kept.items():
        made[id(tensors[name])] = _taken(tensors[name], dims)
    for module in model.modules():
        registries: list[dict[str, Any]] = [module._parameters, module._buffers]
        for registry in registries:
            for name, tensor in registry.items():
                if tensor is not None and id(tensor) in made:
                    registry[name] = made[id(tensor)]
    for name, module in model.named_modules():
        weight = f"{name}.weight" if name else "weight"
        if weight in kept:
            _correct_fields(module, old[weight])
        elif isinstance(module, nn.modules.batchnorm._NormBase) and module.running_mean is not None:
            module.num_features = len(module.running_mean)
    for attribute in structure.attributes:
        _set_attribute(model.get_submodule(attribute.module), attribute, keep)


def kept_entries(groups: Sequence[Group], keep: KeepPlan) -> dict[str, dict[int, Tensor]]:
    """By tensor and dimension, the indices of the entries that stay where some go."""
    masks: dict[str, dict[int, Tensor]] = {}
    for group in groups:
        if group.name in keep:
            for part in group.parts:
                stays = _stays(part.unit, keep[group.name])
                dims = masks.setdefault(part.tensor, {})
                dims[part.dim] = dims[part.dim] & stays if part.dim in dims else stays
    return {
        name: {dim: torch.nonzero(mask).flatten() for dim, mask in dims.items()}
        for name, dims in masks.items()
    }


def _stays(unit: Tensor, index: Tensor) -> Tensor:
    """Which entries a plan keeps: those of kept units and those of no unit."""
    return torch.isin(unit, index.cpu()) | (unit < 0)


def _taken(tensor: Tensor, dims: Mapping[int, Tensor]) -> Tensor:
    taken = tensor.detach()
    for dim, index in dims.items():
        if not len(index):
            raise ValueError("a plan must leave every layer at least one channel")
        taken = taken.index_select(dim, index.to(tensor.device))
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        taken = taken.contiguous(memory_format=torch.channels_last)
    return nn.Parameter(taken, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else taken


def _correct_fields(module: Any, old: Sequence[int]) -> None:
    """Make a layer's numbers those of its weight's new shape."""
    new = tuple(module.weight.shape)
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        module.in_channels, module.out_channels = new[0], new[1] * module.groups
    elif isinstance(module, nn.modules.conv._ConvNd):
        if module.groups > 1:
            module.groups = module.groups * new[0] // old[0]
        module.out_channels, module.in_channels = new[0], new[1] * module.groups
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = new
    elif isinstance(module, nn.modules.batchnorm._NormBase):
        module.num_features = new[0]
    elif isinstance(module, nn.GroupNorm):
        module.num_groups = module.num_groups * new[0] // old[0]
        module.num_channels = new[0]
    elif isinstance(module, nn.PReLU):
        module.num_parameters = new[0]


def _set_attribute(module: nn.Module, attribute: Attribute, keep: KeepPlan) -> None:
    named = {group: unit for group, unit in attribute.units.items() if group in keep}
    if not named:
        return
    stays = torch.stack([_stays(unit, keep[group]) for group, unit in named.items()]).all(0)
    narrow, names = replacement(module)
    if narrow is not None:
        module.__class__ = narrow
        narrow.adapt(module)
        if attribute.name not in names:
            return
    setattr(module, attribute.name, int(stays.sum()))


@torch.no_grad()
def zero(model: nn.Module, structure: Structure, keep: KeepPlan) -> None:
    """Set to zero what writes or carries dropped units, in place."""
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    for group in structure.groups:
        for part in group.parts:
            if group.name in keep and part.role in ("writes", "depthwise", "gates", "carries"):
                gone = torch.nonzero(~_stays(part.unit, keep[group.name])).flatten()
                tensor = tensors[part.tensor]
                if tensor.is_floating_point():
                    tensor.index_fill_(part.dim, gone.to(tensor.device), 0)
