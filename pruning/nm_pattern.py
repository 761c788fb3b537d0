"""n:m patterns: n weights kept in every run of m along the input channels (Mishra et al. 2021,
arXiv 2104.08378).

"2:4" keeps two of four. Runs never cross a kernel position: a convolution's weight [out, in, kh,
kw] is read as a matrix with columns in the order (kh, kw, in), so that hardware which contracts
over input channels can use the pattern. Importing this module does not import torch.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

NM = tuple[int, int]


def parse_pattern(pattern: str) -> NM:
    """The pair (n, m) of a pattern such as "2:4": n weights kept of every m.

    Raises:
        ValueError: not of the form "n:m" with 0 < n < m.
    """
    numbers = re.fullmatch(r"(\d+):(\d+)", pattern)
    n, m = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    if not 0 < n < m:
        raise ValueError(
            f"an n:m pattern keeps 0 < n < m weights of m, such as '2:4', but got '{pattern}'"
        )
    return n, m


def fits_pattern(weight: Tensor, m: int) -> bool:
    """Whether the input channels of a weight [out, in / groups, ...] split into whole runs of m."""
    return weight.shape[1] % m == 0


def keep_rowwise(scores: Tensor, counts: Tensor) -> Tensor:
    """Mask of the `counts[r]` largest entries of every row r; ties go to the lower index.

    Args:
        scores: [rows, cols].
        counts: int64, [rows] or one number for all rows.

    Raises:
        ValueError: a score is NaN.
    """
    import torch

    if torch.isnan(scores).any():
        raise ValueError("scores contain NaN")
    order = scores.sort(dim=1, descending=True, stable=True).indices
    rank = torch.empty_like(order)
    rank.scatter_(1, order, torch.arange(scores.shape[1], device=scores.device).expand_as(order))
    return rank < counts.to(scores.device).reshape(-1, 1)


def nm_mask(scores: Tensor, n: int, m: int) -> Tensor:
    """Mask of exactly the n largest scores in each run of m columns; ties go to the lower index.

    Args:
        scores: [rows, cols], cols a multiple of m.

    Raises:
        ValueError: cols is no multiple of m, or a score is NaN.
    """
    import torch

    if scores.shape[1] % m:
        raise ValueError(f"columns must be a multiple of m = {m}, but got {scores.shape[1]}")
    return keep_rowwise(scores.reshape(-1, m), torch.tensor(n)).view_as(scores)
