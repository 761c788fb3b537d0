"""Sensitivities of loss and gradient, against finite differences and a full Hessian. Synaptic flow
is in `test_synaptic_flow.py`."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.model_registry import build_model as network
from pruning.gradient_scores import gradient_sensitivity, loss_sensitivity
from pruning.masks import all_kept, prunable
from tests.pruning.tiny_network import BATCHES, flatten, losses, tiny

torch.set_num_threads(1)


def test_loss_sensitivity_is_the_derivative_by_a_factor_on_each_connection() -> None:
    model, step = tiny(), 1e-5
    flat = flatten(prunable(model).values())
    loss = losses(tiny(), BATCHES)
    naive = []
    for index in range(len(flat)):  # the definition: dL/dc at c = 1, where the weight is c * w
        up, down = flat.clone(), flat.clone()
        up[index] *= 1 + step
        down[index] *= 1 - step
        naive.append(abs(float(loss(up) - loss(down)) / (2 * step)))
    scores = loss_sensitivity(model, all_kept(model), BATCHES)
    assert {name: score.shape for name, score in scores.items()} == {
        n: w.shape for n, w in prunable(model).items()
    }
    torch.testing.assert_close(
        flatten(scores.values()), torch.tensor(naive, dtype=torch.float64), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("temperature", [1.0, 200.0])
def test_gradient_sensitivity_is_the_weight_times_the_full_hessian_times_the_gradient(
    temperature: float,
) -> None:
    model = tiny()
    flat = flatten(prunable(model).values())
    loss = losses(tiny(), BATCHES, temperature=temperature)
    gradient = torch.func.grad(loss)(flat)
    hessian = torch.autograd.functional.hessian(loss, flat)
    scores = gradient_sensitivity(model, all_kept(model), BATCHES, temperature=temperature)
    torch.testing.assert_close(
        flatten(scores.values()), flat * (hessian @ gradient), rtol=1e-9, atol=1e-15
    )
    norm = lambda weights: torch.func.grad(loss)(weights).square().sum()  # noqa: E731
    for index in (
        0,
        20,
        41,
    ):  # what the score means: the change of |g|^2 as the weight shrinks is -2 w Hg a fraction
        less = flat.clone()
        less[index] *= 1 - 1e-4
        change = (norm(less) - norm(flat)) / 1e-4
        assert float(change) == pytest.approx(
            -2 * float(flatten(scores.values())[index]), rel=2e-2, abs=1e-12
        )


SCORES: dict[str, Callable[..., dict[str, Tensor]]] = {
    "snip": loss_sensitivity,
    "grasp": lambda *given: gradient_sensitivity(*given, temperature=200),
}


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_the_model_the_random_numbers_and_the_gradients_are_left_alone(
    score: Callable[..., dict[str, Tensor]],
) -> None:
    model = tiny().train()
    model[0].eval()  # type: ignore[index, operator]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    score(model, all_kept(model), BATCHES)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_masked_weights_do_not_take_part(score: Callable[..., dict[str, Tensor]]) -> None:
    model, by_hand = tiny(), tiny()
    masks = all_kept(model)
    masks["0.weight"][0, 0, :2] = False
    with torch.no_grad():
        by_hand[0].weight[0, 0, :2] = 0  # type: ignore[index]
    expected = score(by_hand, all_kept(by_hand), BATCHES)
    got = score(model, masks, BATCHES)
    assert all(torch.equal(got[name], expected[name]) for name in expected)
    assert not got["0.weight"][0, 0, :2].any() and got["0.weight"][1].all()


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_neither_autocast_nor_grad_mode_outside_changes_scores(
    score: Callable[..., dict[str, Tensor]],
) -> None:
    model = network("resnet8", image=(1, 8, 8), classes=3)
    batches = [(torch.randn(6, 1, 8, 8), torch.arange(6) % 3)]
    expected = score(model, all_kept(model), batches)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        got = score(model, all_kept(model), batches)
    assert all(torch.equal(got[name], expected[name]) for name in expected)


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_no_batch_is_an_error(score: Callable[..., dict[str, Tensor]]) -> None:
    with pytest.raises(ValueError, match="at least 1 batch, but got 0"):
        score(tiny(), all_kept(tiny()), [])


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_a_layer_that_the_network_does_not_use_scores_nothing(
    score: Callable[..., dict[str, Tensor]],
) -> None:
    alone, beside = tiny(), tiny()
    beside[2].unused = nn.Linear(3, 2).double()  # type: ignore[index]
    expected = score(alone, all_kept(alone), BATCHES)
    got = score(beside, all_kept(beside), BATCHES)
    assert not got.pop("2.unused.weight").any()
    assert all(torch.equal(got[name], expected[name]) for name in expected)


class Attention(nn.Module):
    """Attention over the rows of an image, fused or in its parts, with a table of indices and a
    mask as buffers."""

    def __init__(self, *, fused: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.project, self.head = nn.Linear(5, 12), nn.Linear(4, 3)
        self.fused = fused
        self.register_buffer("order", torch.tensor([-1, -2, -3, -4, -5]))
        self.register_buffer("mask", torch.ones(5, dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x[:, 0])[:, self.order].chunk(3, dim=-1)
        if self.fused:
            out = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        else:
            out = (q @ k.mT / 2).masked_fill(~self.mask, -torch.inf).softmax(-1) @ v
        logits: Tensor = self.head(out.mean(1))
        return logits


def test_fused_attention_has_a_second_derivative() -> None:
    """The version before: "derivative for aten::_scaled_dot_product... is not implemented"."""
    scores = []
    for fused in (True, False):
        model = Attention(fused=fused)
        batches = [(x.float(), y) for x, y in BATCHES]
        scores.append(gradient_sensitivity(model, all_kept(model), batches, temperature=200.0))
    for name, score in scores[0].items():
        assert score.abs().max() > 0 and torch.allclose(score, scores[1][name], atol=1e-9)
