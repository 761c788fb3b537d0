"""Layer-wise post-training solvers: which weights of one linear map to remove, and what the others
become.

All work on a weight matrix [rows, cols] and the Hessian H = 2/N sum x x^T [cols, cols] of its
inputs, in fp64. The optimal brain surgeon (Hassibi & Stork 1993) removes weight j of a row at the
loss w_j^2 / [H^-1]_jj and moves the other weights by -w_j / [H^-1]_jj times row j of H^-1. A column
whose input is always zero is dead: its weights count as zero when weights are ranked, so that they
go first. Those of them that stay, where fewer weights are to go, keep their values: a zero that the
mask does not know would be one more than was asked for.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pruning.layerwise.damped_hessian import (
    diagonal_scale,
    factor_damped,
    inverse_factor_rows,
    thin_factor,
)
from pruning.layerwise.layer_inputs import WIDE
from pruning.masks import keep_top, kept_count
from pruning.nm_pattern import NM, keep_rowwise, nm_mask


@dataclass(frozen=True)
class Solution:
    """A pruned weight matrix, its mask (bool, True = kept) and the damping used, relative to H's
    mean diagonal."""

    weight: Tensor
    mask: Tensor
    damping: float


def sparsegpt(
    weight: Tensor,
    hessian: Tensor,
    *,
    sparsity: float | None = None,
    nm: NM | None = None,
    block: int = 128,
    damping: float = 0.01,
) -> Solution:
    """SparseGPT (Frantar & Alistarh 2023, arXiv 2301.00774): columns from left to right, each
    eliminated for good.

    With U the upper Cholesky factor of H^-1, weights are ranked by (w / U_jj)^2 within a block of
    columns, as updated by all blocks before, and the error of column j goes to the columns on its
    right by row j of U. The number of zeros is exactly `round(sparsity * numel)`, spread over the
    blocks by their widths; with `nm`, exactly n of m are kept.

    Args:
        weight: [rows, cols].
        hessian: [cols, cols].
        damping: added to H's diagonal, relative to its mean; ten times as much whenever the
            factorisation fails.

    Raises:
        ValueError: neither or both of sparsity and nm; a block that is no multiple of m; H is not
            finite.
    """
    check_target(sparsity, nm)
    if nm and (block % nm[1] or weight.shape[1] % nm[1]):
        raise ValueError(
            f"block and columns must be multiples of m = {nm[1]}, "
            f"but got {block} and {weight.shape[1]}"
        )
    w, factor, damping = _prepare(weight, hessian, damping)
    cols = w.shape[1]
    removed = 0 if sparsity is None else w.numel() - kept_count(sparsity, w.numel())
    mask = torch.ones_like(w, dtype=torch.bool)
    for start in range(0, cols, block):
        end = min(start + block, cols)
        u = inverse_factor_rows(factor, start, end)
        part, diagonal = w[:, start:end], u.diagonal()
        errors = torch.zeros_like(part)
        keep = mask[:, start:end]
        if sparsity is not None:
            quota = round(removed * end / cols) - round(removed * start / cols)
            scores = (part / diagonal).square().flatten()
            keep.copy_(keep_top(scores, scores.numel() - quota).view_as(part))
        for j in range(end - start):
            if nm and j % nm[1] == 0:
                run = slice(j, j + nm[1])
                keep[:, run] = nm_mask((part[:, run] / diagonal[run]).square(), *nm)
            errors[:, j] = part[:, j].masked_fill(keep[:, j], 0) / diagonal[j]
            part[:, j:] -= errors[:, j, None] * u[j, j : end - start]
        w[:, end:] -= errors @ u[:, end - start :]
    solved = torch.where(hessian.diagonal() == 0, weight.double(), w)
    return Solution(solved.masked_fill(~mask, 0).to(weight.dtype), mask, damping)


def least_squares(
    weight: Tensor, hessian: Tensor, mask: Tensor, *, damping: float = 0.0
) -> Solution:
    """The best weights on a mask: for each row, argmin (v - w) (H + damping mean(diag H) I) (v -
    w)^T, v = 0 off it.

    One Cholesky solve a row, of the size of its kept weights or, if that is smaller, of the rank of
    a wide H. Where H is singular, damping of 1e-10 and then ten times as much is tried until the
    factorisation succeeds, so that of all best solutions the one near w is found.

    Args:
        weight: [rows, cols], the weights before pruning.
        hessian: [cols, cols].
        mask: bool [rows, cols], True = kept.

    Raises:
        ValueError: H is not finite.
    """
    scale, dead = diagonal_scale(hessian)
    w = weight.double().masked_fill(dead, 0)
    solved = torch.where(dead & mask, weight.double(), 0)
    used = damping
    thin = thin_factor(hessian) if len(hessian) > WIDE else None
    for row in range(w.shape[0]):
        kept = torch.nonzero(mask[row] & ~dead).flatten()
        removed = w[row].masked_fill(mask[row], 0)
        if not len(kept):
            continue
        if thin is not None and thin.shape[1] < len(kept):
            # (F F' + c I)^-1 F = F (F' F + c I)^-1, with F the kept rows of the thin factor
            thin_rows = thin[kept]
            factor, tried = factor_damped(thin_rows.T @ thin_rows, damping, scale)
            change = thin_rows @ torch.cholesky_solve((removed @ thin)[:, None], factor)
        else:
            rows = hessian[kept]
            factor, tried = factor_damped(rows[:, kept].double(), damping, scale)
            change = torch.cholesky_solve((rows.double() @ removed)[:, None], factor)
        solved[row, kept] = w[row, kept] + change.flatten()
        used = max(used, tried)
    return Solution(solved.to(weight.dtype), mask, used)


def magnitude_mask(
    weight: Tensor, *, sparsity: float | None = None, nm: NM | None = None
) -> Tensor:
    """Mask of the largest |w| of a matrix [rows, cols]: `round(sparsity * numel)` zeros, or n of m
    kept."""
    check_target(sparsity, nm)
    if nm:
        return nm_mask(weight.abs(), *nm)
    assert sparsity is not None
    return keep_top(weight.abs().flatten(), kept_count(sparsity, weight.numel())).view_as(weight)


def wanda_mask(
    weight: Tensor, norms: Tensor, *, sparsity: float | None = None, nm: NM | None = None
) -> Tensor:
    """Mask of the largest |w_ij| * ||x_j|| within each output row (Sun et al. 2023, arXiv
    2306.11695).

    There are exactly `round(sparsity * numel)` zeros: where rows cannot share them evenly, the
    first keep one more.

    Args:
        weight: [rows, cols].
        norms: [cols], Euclidean norms of the inputs.

    Raises:
        ValueError: neither or both of sparsity and nm.
    """
    check_target(sparsity, nm)
    scores = weight.double().abs() * norms.double()
    if nm:
        return nm_mask(scores, *nm)
    assert sparsity is not None
    each, more = divmod(kept_count(sparsity, weight.numel()), weight.shape[0])
    return keep_rowwise(scores, each + (torch.arange(weight.shape[0]) < more).long())


def check_target(sparsity: float | None, nm: NM | None) -> None:
    """Refuse a target that is not exactly one of a sparsity and an n:m pattern.

    Raises:
        ValueError: neither or both are given.
    """
    if (sparsity is None) == (nm is None):
        raise ValueError(f"give either sparsity or nm, but got sparsity={sparsity} and nm={nm}")


def _prepare(weight: Tensor, hessian: Tensor, damping: float) -> tuple[Tensor, Tensor, float]:
    """fp64 weights with dead columns zeroed, and the Cholesky factor of the damped H in reversed
    column order."""
    scale, dead = diagonal_scale(hessian)
    backwards = hessian.flip(0, 1).double()
    backwards.diagonal().add_(dead.flip(0) * scale)
    factor, damping = factor_damped(backwards, damping, scale)
    return weight.double().masked_fill(dead, 0), factor, damping
