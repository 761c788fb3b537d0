"""Keep-plans: which channels of a network stay, as plain data.

A small network is stored as its configuration, the plan and a state dict: `shrink` of a fresh
network by the same plan takes that state dict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pruning.masks import keep_top
from pruning.structured.group_parts import Group

KeepPlan = Mapping[str, Tensor]
"""Group name -> indices of the kept channels: int64, ascending, at least one. A group that is not
named stays whole."""


@dataclass(frozen=True)
class Smaller:
    """What a structured method returns: a keep-plan for the network it was given."""

    keep: dict[str, Tensor]


def choose_channels(
    groups: Sequence[Group], scores: Mapping[str, Tensor], kept: Mapping[str, int]
) -> dict[str, Tensor]:
    """The plan that keeps the `kept` channels of highest score in each group; ties go to the lower
    index.

    Args:
        scores: by group, [channels] each.
        kept: by group, see `kept_widths`; a group it does not name stays whole and out of the plan.

    Raises:
        ValueError: a score is NaN, or not one per channel.
    """
    plan = {}
    for group in groups:
        if group.name in kept:
            score = scores[group.name].detach().cpu()
            if score.shape != (group.channels,):
                raise ValueError(
                    f"scores of '{group.name}' must be [{group.channels}], "
                    f"but are {list(score.shape)}"
                )
            plan[group.name] = torch.nonzero(keep_top(score, kept[group.name])).flatten()
    return plan


def group_scores(groups: Sequence[Group], scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Scores per group, [channels]: the sum over the group's producers of their scores, [outputs]
    each, by layer."""
    return {
        group.name: torch.stack([scores[name] for name in group.producers]).sum(0)
        for group in groups
    }


def check_plan(groups: Sequence[Group], keep: KeepPlan) -> None:
    """Pass if the plan fits the groups.

    Raises:
        ValueError: an unknown group, or indices that are not int64, ascending, within the group and
            at least one.
    """
    channels = {group.name: group.channels for group in groups}
    for name, index in keep.items():
        if name not in channels:
            raise ValueError(f"no channel group '{name}'; there are: {', '.join(channels)}")
        if index.dtype != torch.int64 or index.dim() != 1:
            raise ValueError(
                f"kept channels of '{name}' must be int64 [n], "
                f"but are {index.dtype} {list(index.shape)}"
            )
        if not len(index):
            raise ValueError(
                f"group '{name}' must keep at least 1 of its {channels[name]} channels, but keeps 0"
            )
        if index[0] < 0 or index[-1] >= channels[name] or bool((index.diff() <= 0).any()):
            raise ValueError(
                f"kept channels of '{name}' must ascend within 0 ... {channels[name] - 1}"
            )


def join_plans(plans: Sequence[KeepPlan]) -> dict[str, Tensor]:
    """The one plan that leaves what several plans leave, one after the other."""
    whole: dict[str, Tensor] = {}
    for plan in plans:
        for name, index in plan.items():
            whole[name] = whole[name][index] if name in whole else index
    return whole
