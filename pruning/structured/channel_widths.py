"""How many channels each group keeps: for a fraction of channels, or to reach a sparsity of
parameters."""

from collections.abc import Mapping, Sequence
from math import ceil, floor, prod

from torch import nn

from pruning.masks import prunable
from pruning.structured.channel_groups import Group


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
    kept = {}
    for group in groups:
        wanted = (1 - ratio) * group.channels
        lower = floor(wanted / round_to) * round_to
        upper = min(lower + round_to, group.channels)
        nearest = lower if wanted - lower < upper - wanted else upper
        kept[group.name] = min(max(nearest, smallest), group.channels)
    return kept


def sparsity_of_widths(model: nn.Module, groups: Sequence[Group], kept: Mapping[str, int]) -> float:
    """Fraction of the prunable weights (convolutions, linear) that are removed when each group
    keeps so many channels. Exact.

    Args:
        kept: by group; a group it does not name stays whole.
    """
    shapes = {name: list(weight.shape) for name, weight in prunable(model).items()}
    total = sum(map(prod, shapes.values()))
    for group in groups:
        left = kept.get(group.name, group.channels)
        for name in (*group.producers, *group.depthwise):
            shapes[f"{name}.weight"][0] = left
        for name, columns in group.consumers:
            shapes[f"{name}.weight"][1] = left * columns
    return 1 - sum(map(prod, shapes.values())) / total


def find_ratio(
    model: nn.Module,
    groups: Sequence[Group],
    sparsity: float,
    *,
    round_to: int = 1,
    minimum: int = 1,
) -> float:
    """The channel ratio whose `kept_widths` come nearest to a parameter sparsity; if two come as
    near, the one of the larger network.

    A ratio p keeps about (1 - p)^2 of the weights. Widths are whole numbers, groups of one width
    step together, and layers outside `groups` keep their weights, so the sparsity can be missed: by
    little as a rule, by much with a large `round_to`, in a small network, or where even the minimum
    leaves more. `sparsity_of_widths` says what is reached.

    Args:
        groups: the groups that may be cut; all or some of the model's.

    Raises:
        ValueError: sparsity outside [0, 1), or see `kept_widths`.
    """
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity must be in [0, 1), but got {sparsity}")

    def reached(ratio: float) -> float:
        return sparsity_of_widths(
            model, groups, kept_widths(groups, ratio, round_to=round_to, minimum=minimum)
        )

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
