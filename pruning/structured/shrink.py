"""Physically smaller networks: a network without the units that a plan drops, and the same network
in the shapes of the original."""

import copy

import torch
from torch import nn

from pruning.structured.channel_cuts import cut, zero
from pruning.structured.channel_groups import analyse
from pruning.structured.keep_plan import KeepPlan, check_plan


def shrink(model: nn.Module, keep: KeepPlan, *, image: tuple[int, int, int]) -> nn.Module:
    """A network without the units that the plan drops; the model itself stays as it is.

    Layer names, device, dtype, memory format, modes and `requires_grad` are the model's.

    Raises:
        UserError: see `channel_groups.find_groups`.
        ValueError: the plan does not fit the network.
    """
    structure = analyse(model, image)
    check_plan(structure.groups, keep)
    small = copy.deepcopy(model)
    cut(small, structure, keep)
    return small


@torch.no_grad()
def zeroed(model: nn.Module, keep: KeepPlan, *, image: tuple[int, int, int]) -> nn.Module:
    """The network that computes in eval mode what `shrink` returns, in the shapes of the original.

    What writes or carries a dropped unit is zero: rows, biases, norm weights, biases and means,
    without which a constant would live on in them. What reads it is untouched.

    Raises:
        UserError, ValueError: see `shrink`.
    """
    structure = analyse(model, image)
    check_plan(structure.groups, keep)
    same = copy.deepcopy(model)
    zero(same, structure, keep)
    return same
