"""Exact selection by score without waiting for the device: a mask of the largest entries, and one
check of many scores together."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pruning.user_error import list_some


def check_scores(scores: Sequence[Tensor], names: Sequence[str] = ()) -> list[int]:
    """How many entries of each score vector are candidates, above -inf. The host waits for the
    device once, however many vectors there are.

    Args:
        names: of the vectors, for the error.

    Raises:
        ValueError: a score is NaN.
    """
    if not scores:
        return []
    counts = [
        count
        for score in scores
        for count in (torch.isnan(score).sum(), (score > -torch.inf).sum())
    ]
    facts: list[int] = torch.stack(counts).tolist()
    if any(facts[::2]):
        wrong = [
            f"'{name}' ({count} of {score.numel()})"
            for name, score, count in zip(names, scores, facts[::2], strict=False)
            if count
        ]
        raise ValueError(f"scores contain NaN{' in ' * bool(wrong)}{list_some(wrong)}")
    return facts[1::2]


def find_top(scores: Tensor, count: int) -> Tensor:
    """Mask of exactly the `count` largest entries of a flat score vector without NaN; ties go to
    the lower index. The host does not wait for the device.

    By the value of the last one that is kept, so that all devices choose alike, also where an entry
    is 0 and another -0. On a GPU `torch.kthvalue` takes one block for the whole vector and waits;
    a sort there is 20 times as fast. On a CPU it is the other way around.
    """
    if not count:
        return torch.zeros_like(scores, dtype=torch.bool)
    if scores.device.type == "cpu":
        lowest = torch.kthvalue(scores, scores.numel() - count + 1).values
    else:
        lowest = torch.sort(scores, descending=True).values[count - 1]
    above, tied = scores > lowest, scores == lowest
    room = count - above.sum()
    return above | (tied & (tied.cumsum(0, dtype=torch.int32) <= room))
