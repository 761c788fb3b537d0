"""OBC against greedy removal recomputed from scratch; its errors are compared with others in
test_obs.py."""

import pytest
import torch
from torch import Tensor

from pruning.layerwise.obc_solver import obc
from tests.random_layers import correlated

torch.set_num_threads(1)


def brute_force(weight: Tensor, h: Tensor, count: int, nm: tuple[int, int] | None) -> Tensor:
    """Greedy removal by trying every weight: each time all rows are solved anew on the smaller
    mask."""
    mask = torch.ones_like(weight, dtype=torch.bool)

    def solve(row: int, kept: Tensor) -> tuple[float, Tensor]:
        v = torch.zeros_like(weight[row])
        if kept.any():
            v[kept] = torch.linalg.solve(h[kept][:, kept], h[kept] @ weight[row])
        change = v - weight[row]
        return float(change @ h @ change), v

    for _ in range(count):
        best = (float("inf"), 0, 0)
        for row in range(weight.shape[0]):
            now, _ = solve(row, mask[row])
            for j in mask[row].nonzero().flatten().tolist():
                run = slice(j - j % nm[1], j - j % nm[1] + nm[1]) if nm else slice(0, 0)
                if nm and int(mask[row, run].sum()) <= nm[0]:
                    continue
                kept = mask[row].clone()
                kept[j] = False
                best = min(best, (solve(row, kept)[0] - now, row, j))
        mask[best[1], best[2]] = False
    return torch.stack([solve(row, mask[row])[1] for row in range(weight.shape[0])])


@pytest.mark.parametrize(("count", "nm"), [(10, None), (24, None), (40, None), (24, (2, 4))])
def test_obc_is_greedy_removal_recomputed_by_brute_force(
    count: int, nm: tuple[int, int] | None
) -> None:
    weight, _, h = correlated(3, 16)
    damped = h + 0.01 * h.diagonal().mean() * torch.eye(16, dtype=torch.float64)
    # the damped problem is the plain one with H + c I, so brute force on that H is the reference
    expected = brute_force(weight, damped, count, nm)
    found = obc(weight, h, nm=nm) if nm else obc(weight, h, sparsity=count / 48)
    assert torch.equal(found.mask, expected != 0)
    torch.testing.assert_close(found.weight, expected, rtol=1e-6, atol=1e-8)


def test_obc_survives_dropping_eliminated_columns() -> None:
    weight, _, h = correlated(4, 64)
    found = obc(weight, h, sparsity=0.9)
    damped = h + 0.01 * h.diagonal().mean() * torch.eye(64, dtype=torch.float64)
    w, mask = weight.clone(), torch.ones_like(weight, dtype=torch.bool)
    losses, orders = torch.full((4, 64), torch.inf), torch.zeros(4, 64, dtype=torch.int64)
    for row in range(4):
        inverse = torch.linalg.inv(damped)
        for step in range(64):
            scores = torch.where(mask[row], w[row] ** 2 / inverse.diagonal(), torch.inf)
            j = int(scores.argmin())
            losses[row, step], orders[row, step] = scores[j], j
            w[row] -= w[row, j] / inverse[j, j] * inverse[j]
            mask[row, j] = False
            left = mask[row].nonzero().flatten()
            inverse = torch.eye(64, dtype=torch.float64)
            inverse[left[:, None], left] = torch.linalg.inv(damped[left][:, left])
            inverse[~mask[row]] = 0
            inverse[~mask[row], ~mask[row]] = 1
    kept, depth = torch.ones_like(mask), [0] * 4
    for _ in range(256 - round(0.1 * 256)):
        row = min(
            range(4), key=lambda r: float(losses[r, depth[r]]) if depth[r] < 64 else float("inf")
        )
        kept[row, orders[row, depth[row]]] = False
        depth[row] += 1
    assert torch.equal(found.mask, kept)
