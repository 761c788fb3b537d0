"""How many channels each group keeps: for a fraction of channels, or to reach a sparsity of
parameters."""

from collections.abc import Callable, Collection, Mapping, Sequence
from math import ceil, floor, prod

import torch
from torch import Tensor, nn

from pruning.masks import prunable
from pruning.structured.group_parts import Group


def kept_widths(
    groups: Sequence[Group], ratio: float, *, round_to: int = 1, minimum: int = 1
) -> dict[str, int]:
    """Number of kept channels per group when a fraction `ratio` of its channels is removed.

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
    return {
        group.name: _whole_width((1 - ratio) * group.channels, group.channels, round_to, smallest)
        for group in groups
    }


def _whole_width(wanted: float, channels: int, round_to: int, smallest: int) -> int:
    lower = floor(wanted / round_to) * round_to
    upper = min(lower + round_to, channels)
    nearest = lower if wanted - lower < upper - wanted else upper
    return min(max(nearest, smallest), channels)


def ranked_widths(
    groups: Sequence[Group],
    scores: Mapping[str, Tensor],
    ratio: float,
    *,
    round_to: int = 1,
    minimum: int = 1,
) -> dict[str, int]:
    """Number of kept channels per group when a fraction `ratio` of all channels is removed, the
    lowest of all groups together; rounded as `kept_widths` does.

    Scores are divided by their mean over the group, without which groups whose scores are small as
    a whole would go first.

    Args:
        scores: by group, [channels] each; not below 0.

    Raises:
        ValueError: see `kept_widths`.
    """
    kept_widths(groups, ratio, round_to=round_to, minimum=minimum)  # checks
    shares = [scores[group.name].detach().double().cpu() for group in groups]
    shares = [share / mean if (mean := share.mean()) > 0 else share for share in shares]
    owners = torch.repeat_interleave(torch.tensor([group.channels for group in groups]))
    lowest = torch.argsort(torch.cat(shares), stable=True)[: round(ratio * len(owners))]
    gone = torch.bincount(owners[lowest], minlength=len(groups)).tolist()
    smallest = ceil(minimum / round_to) * round_to
    return {
        group.name: _whole_width(group.channels - count, group.channels, round_to, smallest)
        for group, count in zip(groups, gone, strict=True)
    }


def sparsity_of_widths(
    model: nn.Module,
    groups: Sequence[Group],
    kept: Mapping[str, int],
    *,
    only: Collection[str] | None = None,
) -> float:
    """Fraction of the prunable weights (convolutions, linear) that are removed when each group
    keeps so many channels. Exact.

    Args:
        kept: by group; a group it does not name stays whole.
        only: names of the weights that count; None: all.
    """
    shapes = {name: list(weight.shape) for name, weight in prunable(model).items()}
    counted = [name for name in shapes if only is None or name in only]
    total = sum(prod(shapes[name]) for name in counted)
    for group in groups:
        left = kept.get(group.name, group.channels)
        for part in group.parts:
            if part.tensor in shapes and left < group.channels:
                shapes[part.tensor][part.dim] -= int((part.unit >= left).sum())
    return 1 - sum(prod(shapes[name]) for name in counted) / total


def nearest_ratio(reached: Callable[[float], float], sparsity: float) -> float:
    """The ratio in [0, 1] at which a function that rises with it comes nearest to a sparsity; if
    two come as near, the lower one, that of the larger network.

    A channel ratio p keeps about (1 - p)^2 of the weights. Widths are whole numbers, groups of one
    width step together, and layers outside the groups keep their weights, so a sparsity can be
    missed: by little as a rule, by much where widths are rounded to large multiples, in a small
    network, or where even one channel of each group leaves more.
    """
    low, high = 0.0, 1.0
    if sparsity == 0:
        return low
    if reached(high) <= sparsity:
        return high
    # Always reached(low) <= sparsity < reached(high); 1e-9 is far below one channel of any layer.
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if reached(middle) <= sparsity else (low, middle)
    return low if sparsity - reached(low) <= reached(high) - sparsity else high
