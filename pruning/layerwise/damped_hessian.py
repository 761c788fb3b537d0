"""Factors and inverses of a damped Hessian H + damping x mean(diag H) x I, in fp64.

A column whose input is always zero is dead: row and column of H are zero.
"""

import torch
from torch import Tensor

SMALLEST_DAMPING = 1e-10  # first try after a failure without any damping
THIN_TOLERANCE = 1e-6  # of the largest diagonal entry; a wide Hessian is in fp32, no more exact


def diagonal_scale(hessian: Tensor) -> tuple[float, Tensor]:
    """Mean of the diagonal over live columns (1 if there are none), and which columns are dead.

    Dead columns stay out of the mean: in a network of 1x1 maps eight of nine kernel positions are
    dead, and their stand-in would decide the damping of the rest.
    """
    diagonal = hessian.diagonal().double()
    if not torch.isfinite(diagonal).all():
        raise ValueError(
            "a Hessian must be finite, but got NaN or infinity; check the inputs of this layer"
        )
    dead = diagonal == 0
    return (float(diagonal[~dead].mean()) if not dead.all() else 1.0), dead


def invert(hessian: Tensor, damping: float) -> tuple[Tensor, float]:
    """Inverse of the damped Hessian in fp64, dead columns decoupled, and the damping it took.

    Raises:
        ValueError: H is not finite.
    """
    scale, dead = diagonal_scale(hessian)
    damped = hessian.double()
    damped = damped + torch.diag(dead * scale)
    factor, damping = factor_damped(damped, damping, scale)
    return torch.cholesky_inverse(factor), damping


def factor_damped(matrix: Tensor, damping: float, scale: float) -> tuple[Tensor, float]:
    """Lower Cholesky factor of matrix + damping * scale * I, and the damping; ten times as much
    after each failure.

    The matrix is changed in place.
    """
    added = 0.0
    while True:
        matrix.diagonal().add_((damping - added) * scale)
        added = damping
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if not failed:
            return factor, damping
        if damping > 1e6:
            raise ValueError(
                "a Hessian must be symmetric and finite, "
                "but no damping makes this one positive definite"
            )
        damping = max(10 * damping, SMALLEST_DAMPING)


def inverse_factor_rows(factor: Tensor, start: int, end: int) -> Tensor:
    """Rows start:end of U, the upper Cholesky factor of H^-1, from column `start` on: [end - start,
    cols - start].

    Reversing the columns of H turns its lower factor L into an upper R with H = R R^T, hence U =
    R^-1: neither H^-1 nor U is ever held as a whole.
    """
    size = factor.shape[0] - start
    unit = torch.zeros(end - start, size, dtype=factor.dtype, device=factor.device)
    unit.diagonal().fill_(1)
    rows: Tensor = torch.linalg.solve_triangular(
        factor[:size, :size], unit.flip(1), upper=False, left=False
    )
    return rows.flip(1)


def thin_factor(hessian: Tensor) -> Tensor | None:
    """F [cols, rank] with H = F F^T up to rounding, by pivoted Cholesky; None if the rank exceeds a
    quarter of cols.

    A layer with more columns than calibration samples has such an H: 12,544 columns and 1,024
    images, for one.
    """
    left = hessian.diagonal().double().clone()
    enough = THIN_TOLERANCE * float(left.max())
    factor = torch.zeros(
        len(hessian) // 4, len(hessian), dtype=torch.float64, device=hessian.device
    )
    for rank in range(len(factor)):
        pivot = int(left.argmax())
        if left[pivot] <= enough:
            return factor[:rank].T
        row = hessian[pivot].double() - factor[:rank, pivot] @ factor[:rank]
        factor[rank] = row / left[pivot].sqrt()
        left -= factor[rank].square()
        left[pivot] = 0
    return None
