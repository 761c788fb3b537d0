"""Exact greedy optimal brain surgeon for one linear map (OBC: Frantar & Alistarh 2022, arXiv
2208.11580).

Each row has its own inverse Hessian: the weight of least loss is removed, the others compensate,
and the removed one is eliminated from the inverse, again and again. That costs rows x cols^3: for
layers of up to about a thousand columns.
"""

from heapq import heapify, heapreplace

import torch
from torch import Tensor

from pruning.layerwise.damped_hessian import invert
from pruning.layerwise.obs import Solution, check_target, least_squares
from pruning.masks import kept_count
from pruning.nm_pattern import NM

CACHED = 2**22  # entries of the inverses that are updated together: 32 MiB


def obc(
    weight: Tensor,
    hessian: Tensor,
    *,
    sparsity: float | None = None,
    nm: NM | None = None,
    damping: float = 0.01,
) -> Solution:
    """Remove one weight at a time, always the one that costs least after all others were adjusted.

    Rows do not influence each other, so each is emptied to the end with its losses recorded, and
    the weights to remove are then chosen over all rows by a heap of each row's next loss: exactly
    `round(sparsity * numel)` of them. With `nm`, a run of m columns that is down to n weights is
    left alone. Removing weights one by one ends at the least-squares solution on the final mask,
    which is where the weights are taken from.

    Args:
        weight: [rows, cols].
        hessian: [cols, cols].
        damping: added to H's diagonal, relative to its mean; ten times as much whenever the
            factorisation fails.

    Raises:
        ValueError: neither or both of sparsity and nm; H is not finite; cols is no multiple of m.
    """
    check_target(sparsity, nm)
    if nm and weight.shape[1] % nm[1]:
        raise ValueError(f"columns must be a multiple of m = {nm[1]}, but got {weight.shape[1]}")
    rows, cols = weight.shape
    inverted, used = invert(hessian, damping)
    w = weight.double().masked_fill(hessian.diagonal() == 0, 0)
    orders, losses = [], []
    for some_rows in torch.split(w, max(1, CACHED // cols**2)):
        order, loss = _trace(some_rows, inverted, nm)
        orders.append(order)
        losses.append(loss)
    order, loss = torch.cat(orders), torch.cat(losses)
    if sparsity is None:
        depth = torch.full((rows,), order.shape[1])
    else:
        depth = _cheapest(loss, weight.numel() - kept_count(sparsity, weight.numel()))
    gone = torch.arange(order.shape[1], device=order.device) < depth.to(order.device)[:, None]
    mask = torch.ones_like(w, dtype=torch.bool).scatter_(1, order, ~gone)
    solved = least_squares(weight, hessian, mask, damping=used)
    return Solution(solved.weight, mask, solved.damping)


def _trace(weight: Tensor, inverted: Tensor, nm: NM | None) -> tuple[Tensor, Tensor]:
    """Columns in the order in which every row loses them, and the loss of each: int64 and fp64
    [rows, steps]."""
    rows, cols = weight.shape
    steps = cols if nm is None else cols // nm[1] * (nm[1] - nm[0])
    w, inv = weight.clone(), inverted.expand(rows, cols, cols).clone()
    column = torch.arange(cols, device=w.device).expand(rows, cols)
    gone = torch.zeros(rows, cols, dtype=torch.bool, device=w.device)
    room = None if nm is None else torch.full((rows, cols // nm[1]), nm[1] - nm[0], device=w.device)
    every = torch.arange(rows, device=w.device)
    order = torch.empty(rows, steps, dtype=torch.int64, device=w.device)
    losses = torch.empty(rows, steps, dtype=w.dtype, device=w.device)
    for step in range(steps):
        scores = (w.square() / inv.diagonal(dim1=1, dim2=2)).masked_fill(gone, torch.inf)
        if nm is not None and room is not None:
            scores = scores.masked_fill(room.gather(1, column // nm[1]) == 0, torch.inf)
        losses[:, step], place = scores.min(dim=1)
        order[:, step] = column[every, place]
        row = inv[every, place]
        pivot = row[every, place, None]
        w -= w[every, place, None] / pivot * row
        inv.baddbmm_(row[:, :, None], (row / pivot)[:, None, :], alpha=-1)
        gone[every, place] = True
        # The eliminated entry is zero up to rounding; 1 keeps the next division finite.
        inv[every, place, place] = 1
        if room is not None and nm is not None:
            room[every, order[:, step] // nm[1]] -= 1
        # All rows have lost the same number of columns: drop those that are gone.
        if 4 * int(gone[0].sum()) >= gone.shape[1] > 16:
            left = (~gone).nonzero()[:, 1].view(rows, -1)
            w, column, gone = w.gather(1, left), column.gather(1, left), gone.gather(1, left)
            inv = inv[every[:, None, None], left[:, :, None], left[:, None, :]]
    return order, losses


def _cheapest(losses: Tensor, count: int) -> Tensor:
    """How many weights each row loses if `count` in all go and always the row with the smallest
    next loss is next."""
    table = losses.tolist()
    depth = [0] * len(table)
    heap = [(row_losses[0], row) for row, row_losses in enumerate(table)]
    heapify(heap)
    for _ in range(count):
        _, row = heap[0]
        depth[row] += 1
        following = table[row][depth[row]] if depth[row] < len(table[row]) else torch.inf
        heapreplace(heap, (following, row))
    return torch.tensor(depth)
