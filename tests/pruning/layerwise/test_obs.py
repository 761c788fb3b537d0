"""Layer-wise solvers against explicit elimination, numpy's lstsq, and brute force."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pruning.layerwise import obs
from pruning.layerwise.damped_hessian import thin_factor
from pruning.layerwise.layer_inputs import from_matrix, hessian, to_matrix
from pruning.layerwise.obc_solver import obc
from pruning.layerwise.obs import least_squares, magnitude_mask, sparsegpt, wanda_mask
from pruning.nm_pattern import nm_mask
from tests.pruning.nm_check import is_nm
from tests.random_layers import correlated

torch.set_num_threads(1)

TARGETS: list[dict[str, float] | dict[str, tuple[int, int]]] = [
    {"sparsity": 0.5},
    {"sparsity": 0.9},
    {"nm": (2, 4)},
]


def output_error(dense: Tensor, pruned: Tensor, hessian: Tensor) -> float:
    """Squared change of a layer's output relative to its squared output: tr(D H D^T) / tr(W H W^T),
    D = W - pruned."""
    w, h = dense.double(), hessian.double()
    change = w - pruned.double()
    return float(((change @ h) * change).sum() / ((w @ h) * w).sum())


def eliminate(
    weight: Tensor,
    hessian: Tensor,
    *,
    sparsity: float | None,
    nm: tuple[int, int] | None,
    block: int,
) -> Tensor:
    """Pruning by explicit OBS, column after column: H^-1 of the columns still left is inverted anew
    each time."""
    rows, cols = weight.shape
    w = weight.clone()
    damped = hessian + 0.01 * hessian.diagonal().mean() * torch.eye(cols, dtype=torch.float64)
    pivots = torch.stack([torch.linalg.inv(damped[j:, j:])[0, 0] for j in range(cols)])
    gone = torch.zeros(rows, cols, dtype=torch.bool)
    total = 0 if sparsity is None else rows * cols - round((1 - sparsity) * rows * cols)
    for j in range(cols):
        if nm is None and j % block == 0:
            end = min(j + block, cols)
            quota = round(total * end / cols) - int(gone.sum())
            scores = w[:, j:end] ** 2 / pivots[j:end]
            for place in scores.flatten().argsort()[:quota].tolist():
                gone[place // (end - j), j + place % (end - j)] = True
        if nm is not None and j % nm[1] == 0:
            scores = w[:, j : j + nm[1]] ** 2 / pivots[j : j + nm[1]]
            for row in range(rows):
                for place in scores[row].argsort()[: nm[1] - nm[0]].tolist():
                    gone[row, j + place] = True
        inverse = torch.linalg.inv(damped[j:, j:])
        for row in range(rows):
            if gone[row, j]:
                w[row, j:] -= w[row, j] / inverse[0, 0] * inverse[0]
                w[row, j] = 0
    return w


def squared_output_bound(weight: Tensor, x: Tensor, mask: Tensor) -> float:
    """The smallest relative output error that any weights on the mask can have, by numpy's lstsq on
    the inputs."""
    error = 0.0
    for row, kept in zip(weight.numpy(), mask.numpy(), strict=True):
        target = x.numpy() @ row
        best = np.linalg.lstsq(x.numpy()[:, kept], target, rcond=None)[0]
        error += float(((target - x.numpy()[:, kept] @ best) ** 2).sum())
    return error / float((x @ weight.T).square().sum())


def magnitude_error(weight: Tensor, h: Tensor, target: dict) -> float:
    return output_error(weight, weight * magnitude_mask(weight, **target), h)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("block", [8, 20, 64])
def test_sparsegpt_is_explicit_elimination_in_the_same_order(target: dict, block: int) -> None:
    weight, _, h = correlated(6, 40)
    expected = eliminate(
        weight, h, sparsity=target.get("sparsity"), nm=target.get("nm"), block=block
    )
    found = sparsegpt(weight, h, block=block, **target)
    assert torch.equal(found.mask, expected != 0)
    assert float((found.weight - expected).norm() / expected.norm()) < 1e-5
    assert found.damping == 0.01


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("seed", [0, 1])
def test_errors_are_ordered_magnitude_sparsegpt_least_squares_obc(target: dict, seed: int) -> None:
    weight, x, h = correlated(24, 64, seed=seed)
    fast = sparsegpt(weight, h, **target)
    exact = least_squares(weight, h, fast.mask)
    greedy = obc(weight, h, **target)
    bound = squared_output_bound(weight, x, fast.mask)
    error = output_error(weight, fast.weight, h)
    assert error < magnitude_error(weight, h, target)
    assert error >= bound
    assert output_error(weight, exact.weight, h) == pytest.approx(bound, rel=1e-8)
    assert output_error(weight, greedy.weight, h) < error


def test_output_error_is_the_relative_squared_change_of_the_outputs() -> None:
    weight, x, h = correlated(5, 16)
    pruned = weight * magnitude_mask(weight, sparsity=0.5)
    expected = (x @ (weight - pruned).T).square().sum() / (x @ weight.T).square().sum()
    assert output_error(weight, pruned, h) == pytest.approx(float(expected), rel=1e-10)


@pytest.mark.parametrize("sparsity", [0.0, 0.123, 0.5, 0.777, 0.99, 1.0])
@pytest.mark.parametrize("solver", ["sparsegpt", "obc", "magnitude", "wanda"])
def test_counts_are_exact(sparsity: float, solver: str) -> None:
    weight, x, h = correlated(7, 24)
    match solver:
        case "sparsegpt":
            mask = sparsegpt(weight, h, sparsity=sparsity, block=10).mask
        case "obc":
            mask = obc(weight, h, sparsity=sparsity).mask
        case "magnitude":
            mask = magnitude_mask(weight, sparsity=sparsity)
        case _:
            mask = wanda_mask(weight, x.norm(dim=0), sparsity=sparsity)
            assert int(mask.sum(dim=1).max()) - int(mask.sum(dim=1).min()) <= 1
    assert int(mask.sum()) == round((1 - sparsity) * 7 * 24)


def test_removed_weights_are_zero_and_the_dtype_stays() -> None:
    weight, _, h = correlated(6, 32)
    for solution in (
        sparsegpt(weight.float(), h, sparsity=0.6),
        obc(weight.float(), h, sparsity=0.6),
    ):
        assert solution.weight.dtype == torch.float32
        assert torch.equal(solution.weight != 0, solution.mask)


def test_wanda_compares_within_a_row_by_input_norm() -> None:
    weight = torch.tensor([[1.0, -2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 5.0]])
    norms = torch.tensor([9.0, 1.0, 1.0, 1.0])
    expected = torch.tensor([[True, False, False, True], [True, False, True, False]])
    assert torch.equal(wanda_mask(weight, norms, sparsity=0.5), expected)
    assert torch.equal(wanda_mask(weight, norms, nm=(1, 2)).sum(dim=1), torch.tensor([2, 2]))


@pytest.mark.parametrize("target", TARGETS)
def test_dead_columns_go_first_and_disturb_nothing(target: dict) -> None:
    weight, x, _ = correlated(6, 32)
    x[:, 8:12] = 0
    x = 1e-3 * x  # dead columns must not set the scale of the damping
    h = 2 / len(x) * x.T @ x
    live = torch.tensor([j for j in range(32) if not 8 <= j < 12])
    for solution in (sparsegpt(weight, h, **target), obc(weight, h, **target)):
        kept = solution.mask[:, 8:12]
        assert not kept.any() or "nm" in target
        # A zero that the mask does not count would be one more than was asked for.
        assert torch.equal(solution.weight == 0, ~solution.mask)
        assert torch.equal(solution.weight[:, 8:12], weight[:, 8:12] * kept)
        assert torch.isfinite(solution.weight).all()
        bound = squared_output_bound(weight, x, solution.mask)
        assert (
            bound <= output_error(weight, solution.weight, h) < magnitude_error(weight, h, target)
        )
    if "nm" in target:
        without = sparsegpt(weight[:, live], h[live][:, live], **target)
        torch.testing.assert_close(sparsegpt(weight, h, **target).weight[:, live], without.weight)
    solved = least_squares(weight, h, torch.ones(6, 32, dtype=torch.bool))
    torch.testing.assert_close(solved.weight, weight)


def test_more_dead_columns_than_zeros_asked_for_leave_exactly_the_zeros_asked_for() -> None:
    # 20 of 32 columns are dead, and 10 % of the weights shall go: all else stays, also in them.
    weight, x, _ = correlated(6, 32)
    x[:, 12:] = 0
    h = 2 / len(x) * x.T @ x
    for solution in (sparsegpt(weight, h, sparsity=0.1), obc(weight, h, sparsity=0.1)):
        assert int((solution.weight == 0).sum()) == int((~solution.mask).sum()) == 19
        torch.testing.assert_close(solution.weight[:, :12], weight[:, :12])


def test_fewer_samples_than_columns_is_no_failure() -> None:
    weight, x, h = correlated(6, 64, count=20)
    fast = sparsegpt(weight, h, sparsity=0.5)
    assert output_error(weight, fast.weight, h) < magnitude_error(weight, h, {"sparsity": 0.5})
    exact = least_squares(weight, h, fast.mask)
    assert exact.damping > 0
    assert squared_output_bound(weight, x, fast.mask) < 1e-20  # 32 weights fit 20 samples
    assert output_error(weight, exact.weight, h) < 1e-8


@pytest.mark.parametrize("damping", [0.0, 0.01])
def test_a_wide_layer_is_solved_by_rank_and_to_the_same_result(
    damping: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight, x, _ = correlated(6, 96, count=20)
    h = 2 / 20 * x.T @ x
    mask = sparsegpt(weight, h, sparsity=0.5).mask
    mask[0, 10:] = False  # fewer weights than the rank: this row is solved directly
    mask[1] = False
    c = damping * h.diagonal().mean() * torch.eye(96, dtype=torch.float64)
    monkeypatch.setattr(obs, "WIDE", 64)
    thin = thin_factor(h)
    assert thin is not None
    assert thin.shape == (96, 20)
    torch.testing.assert_close(thin @ thin.T, h, rtol=0, atol=1e-5 * float(h.diagonal().max()))
    assert thin_factor(correlated(6, 96)[2]) is None
    found = least_squares(weight, h, mask, damping=damping)
    for row in range(6):
        kept = mask[row]
        if damping:
            best = torch.linalg.solve((h + c)[kept][:, kept], (h + c)[kept] @ weight[row])
            torch.testing.assert_close(found.weight[row, kept], best, rtol=1e-4, atol=1e-5)
        bound = np.linalg.lstsq(x[:, kept].numpy(), (x @ weight[row]).numpy(), rcond=None)[0]
        least = float((x @ weight[row] - x[:, kept] @ torch.from_numpy(bound)).square().sum())
        reached = float((x @ (weight[row] - found.weight[row])).square().sum())
        if not damping:
            assert reached == pytest.approx(
                least, rel=1e-6, abs=1e-6 * float((x @ weight[row]).square().sum())
            )
    assert not found.weight[~mask].any()


def test_mistakes_are_named() -> None:
    weight, _, h = correlated(4, 16)
    with pytest.raises(ValueError, match="either sparsity or nm"):
        sparsegpt(weight, h)
    with pytest.raises(ValueError, match="either sparsity or nm"):
        magnitude_mask(weight, sparsity=0.5, nm=(2, 4))
    with pytest.raises(ValueError, match="multiples of m = 4, but got 6 and 16"):
        sparsegpt(weight, h, nm=(2, 4), block=6)
    with pytest.raises(ValueError, match="multiple of m = 5, but got 16"):
        obc(weight, h, nm=(2, 5))
    with pytest.raises(ValueError, match="must be finite"):
        sparsegpt(weight, torch.full_like(h, torch.nan), sparsity=0.5)
    with pytest.raises(ValueError, match=r"sparsity must be in \[0, 1\], but got 1.2"):
        sparsegpt(weight, h, sparsity=1.2)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_is_pruned_as_the_linear_layer_on_its_unfolded_inputs(groups: int) -> None:
    generator = torch.Generator().manual_seed(5)
    conv = nn.Conv2d(8, 6, 3, padding=1, groups=groups, bias=False)
    nn.init.normal_(conv.weight, generator=generator)
    x = torch.randn(12, 8, 6, 6, generator=generator)
    matrices, hessians = to_matrix(conv.weight.detach(), groups), hessian(conv, "weight", [x])
    solved = [sparsegpt(w, h, nm=(2, 4)) for w, h in zip(matrices, hessians, strict=True)]
    mask = from_matrix(torch.stack([solution.mask for solution in solved]), conv.weight.shape)
    weight = from_matrix(torch.stack([solution.weight for solution in solved]), conv.weight.shape)
    assert is_nm(mask, 2, 4)

    cin = 8 // groups
    pruned = torch.empty_like(conv.weight)
    for group in range(groups):
        columns = nn.functional.unfold(
            x[:, group * cin : (group + 1) * cin], 3, padding=1
        )  # [B, cin * 9, 36]
        columns = columns.view(12, cin, 9, 36).permute(0, 3, 2, 1).reshape(-1, 9 * cin)
        linear = nn.Linear(9 * cin, 6 // groups, bias=False)
        some = slice(group * 6 // groups, (group + 1) * 6 // groups)
        linear.weight.data = conv.weight.data[some].permute(0, 2, 3, 1).reshape(-1, 9 * cin)
        found = sparsegpt(
            linear.weight.detach(), hessian(linear, "weight", columns.split(100))[0], nm=(2, 4)
        )
        pruned.data[some] = found.weight.view(-1, 3, 3, cin).permute(0, 3, 1, 2)
    assert torch.equal(mask, pruned != 0)
    torch.testing.assert_close(weight, pruned, rtol=1e-4, atol=1e-5)

    outputs, after = conv(x).detach(), nn.functional.conv2d(x, weight, padding=1, groups=groups)
    plain = nn.functional.conv2d(
        x,
        conv.weight.detach()
        * from_matrix(torch.stack([nm_mask(w.abs(), 2, 4) for w in matrices]), conv.weight.shape),
        padding=1,
        groups=groups,
    )
    assert float((outputs - after).norm()) < float((outputs - plain).norm())
