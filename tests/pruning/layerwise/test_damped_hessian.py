"""Factors of damped Hessians: rank, failures, and columns that are dead."""

import pytest
import torch

from pruning.layerwise.damped_hessian import invert, thin_factor
from pruning.layerwise.obc_solver import obc
from pruning.layerwise.obs import least_squares, sparsegpt
from tests.random_layers import correlated


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1.0, 1e6])
def test_the_rank_of_a_wide_hessian_is_that_of_its_inputs_in_any_unit(scale: float) -> None:
    _, x, _ = correlated(1, 96, count=12)
    h = scale * x.T @ x
    thin = thin_factor(h)
    assert thin is not None and thin.shape == (96, 12 if scale else 0)
    torch.testing.assert_close(thin @ thin.T, h, rtol=0, atol=1e-5 * float(h.diagonal().max()))


def test_a_layer_that_never_sees_an_input_loses_the_weights_that_shall_go() -> None:
    weight, nothing = torch.ones(2, 4, dtype=torch.float64), torch.zeros(4, 4)
    whole = torch.ones(2, 4, dtype=torch.bool)
    for solution in (sparsegpt(weight, nothing, sparsity=0.5), obc(weight, nothing, sparsity=0.5)):
        assert (int(solution.mask.sum()), solution.damping) == (4, 0.01)
        assert torch.equal(solution.weight, weight * solution.mask)
    assert torch.equal(least_squares(weight, nothing, whole).weight, weight)


def test_a_failed_factorisation_is_damped_ten_times_as_much_and_recorded() -> None:
    weight, _, h = correlated(6, 16)
    values, vectors = torch.linalg.eigh(h)
    values[0] = -0.5 * h.diagonal().mean()  # negative: damping of .01 and .1 cannot help, 1 can
    broken = vectors @ torch.diag(values) @ vectors.T
    expected = 0.01
    while torch.linalg.eigvalsh(broken)[0] + expected * broken.diagonal().mean() <= 0:
        expected *= 10
    assert expected == pytest.approx(1.0)
    for solution in (
        sparsegpt(weight, broken, sparsity=0.5),
        obc(weight, broken, sparsity=0.5),
        least_squares(weight, broken, torch.ones(6, 16, dtype=torch.bool), damping=0.01),
    ):
        assert solution.damping == pytest.approx(expected)
        assert torch.isfinite(solution.weight).all()


def test_the_inverse_is_that_of_the_damped_matrix_with_dead_columns_apart() -> None:
    _, x, _ = correlated(1, 16)
    x[:, 3] = 0
    h = x.T @ x
    live = torch.arange(16) != 3
    scale = float(h.diagonal()[live].mean())
    inverse, damping = invert(h, 0.01)
    expected = torch.linalg.inv(h[live][:, live] + 0.01 * scale * torch.eye(15, dtype=h.dtype))
    assert damping == 0.01
    torch.testing.assert_close(inverse[live][:, live], expected)
    assert not inverse[3][live].any()
