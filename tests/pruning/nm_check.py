"""Whether a mask has an n:m pattern, for the tests."""

from torch import Tensor

from pruning.nm_pattern import fits_pattern


def is_nm(mask: Tensor, n: int, m: int) -> bool:
    """Whether a mask in the layout of its weight, [out, in / groups, ...], keeps exactly n of each
    m input channels."""
    if not fits_pattern(mask, m):
        return False
    runs = mask.movedim(1, -1).reshape(-1, m)
    return bool((runs.sum(dim=1) == n).all())
