"""Scores by gradients, against finite differences, a full Hessian and the conservation law of
synaptic flow.

Covers: pruning/gradient_scores.py, pruning/methods/snip.py, pruning/methods/grasp.py.
"""

from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from models.model_registry import build_model as network
from pruning.class_examples import balanced_batches
from pruning.gradient_scores import (
    flow_scores,
    gradient_sensitivity,
    loss_sensitivity,
    positive_copy,
)
from pruning.masks import all_kept, prunable
from pruning.method import PruneInput
from pruning.registry import build_method
from tests.pruning.tiny_network import Batch, prune_inputs, tiny

torch.set_num_threads(1)


def drawn(count: int, *, classes: int = 3, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 1, 5, 5, generator=generator, dtype=torch.float64)
    return x, torch.randint(classes, (count,), generator=generator)


def losses(
    model: nn.Module, batches: list[Batch], *, temperature: float = 1.0
) -> Callable[..., Tensor]:
    """Mean cross-entropy over all images as a function of the flat prunable weights, batch
    statistics in force."""
    model.train()
    model[4].eval()  # type: ignore[index, operator]
    weights = prunable(model)

    def loss(flat: Tensor) -> Tensor:
        parts = flat.split([weight.numel() for weight in weights.values()])
        own = {name: part.view_as(weights[name]) for name, part in zip(weights, parts, strict=True)}
        state = {name: value.clone() for name, value in model.state_dict().items()}
        sums = [
            cross_entropy(
                functional_call(model, {**state, **own}, x) / temperature, y, reduction="sum"
            )
            for x, y in batches
        ]
        return torch.stack(sums).sum() / sum(len(y) for _, y in batches)

    return loss


def flatten(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


BATCHES = [drawn(7), drawn(4, seed=1)]


def chain() -> nn.Module:
    """Convolutions and linear layers without biases, with what usually stands between them."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(2, 5, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(5, 6, 3, bias=False), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()),
        *(nn.Linear(24, 7, bias=False), nn.ReLU(), nn.Linear(7, 3, bias=False)),
    )


def test_the_flow_through_every_layer_of_a_chain_is_the_flow_out_of_it() -> None:
    model = chain()
    masks = {
        name: torch.rand(w.shape, generator=torch.Generator().manual_seed(2)) < 0.6
        for name, w in prunable(model).items()
    }
    x = torch.ones(1, 2, 12, 12, dtype=torch.float64)
    for name, weight in prunable(model).items():
        weight.data = weight.data.double().abs() * masks[name]
    flow = float(model(x).detach().sum())
    scores = flow_scores(positive_copy(chain(), masks), (2, 12, 12))
    assert list(scores) == list(masks) and flow > 1e-3
    for score in scores.values():
        assert float(score.sum()) == pytest.approx(flow, rel=1e-12)


def test_the_flow_sees_the_absolute_value_of_buffers_and_of_batch_norm_too() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(1, 1))
    values = {
        "0.weight": -2.0,
        "0.bias": -1.0,
        "1.weight": -3.0,
        "1.bias": -0.5,
        "1.running_mean": -7.0,
    }
    values |= {"1.running_var": 4.0, "3.weight": -5.0, "3.bias": -0.25}
    for name, value in model.state_dict().items():
        value.fill_(values.get(name, 9))
    scale = 3 / (4 + model[1].eps) ** 0.5  # type: ignore[operator]
    scores = flow_scores(positive_copy(model, all_kept(model)), (1, 1, 1))
    assert float(scores["0.weight"]) == pytest.approx(2 * scale * 5, rel=1e-12)
    # |mean| = 7 is subtracted, |bias| = .5 added, both after the absolute value
    assert float(scores["3.weight"]) == pytest.approx(5 * abs((2 + 1 - 7) * scale + 0.5), rel=1e-12)


def test_resnet110_overflows_float32_but_its_scores_are_finite() -> None:
    model = network("resnet110", image=(3, 32, 32), classes=10)
    copy = positive_copy(model, all_kept(model))
    scores = flow_scores(copy, (3, 32, 32))
    assert not torch.isfinite(copy.float().eval()(torch.ones(1, 3, 32, 32))).all()
    assert all(torch.isfinite(score).all() and (score > 0).all() for score in scores.values())


def test_a_flow_beyond_float64_is_an_error() -> None:
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(12)))
    for weight in prunable(model).values():
        weight.data.fill_(1e30)
    with pytest.raises(ValueError, match="the synaptic flow must be finite in float64, but is inf"):
        flow_scores(positive_copy(model, all_kept(model)), (1, 1, 2))


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


def test_grasp_removes_the_largest_of_its_paper() -> None:
    model, batch = tiny(), drawn(30)
    flat = flatten(prunable(model).values())
    first = balanced_batches(lambda n: iter([(batch[0][:n], batch[1][:n])]), 3, per_class=4)[0]
    loss = losses(tiny(), first, temperature=200)
    paper = -flat * (torch.autograd.functional.hessian(loss, flat) @ torch.func.grad(loss)(flat))
    masks = build_method("grasp", {"examples_per_class": 4}).prune(
        prune_inputs(model, lambda n: iter([(batch[0][:n], batch[1][:n])]))
    )
    assert isinstance(masks, dict)
    removed = ~flatten(masks.values())
    assert set(removed.nonzero().flatten().tolist()) == set(
        paper.topk(len(flat) // 2).indices.tolist()
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


def test_the_flow_leaves_buffers_that_are_no_numbers_alone() -> None:
    """The version before: "abs" of booleans is not implemented; and indices lost their sign."""
    network = positive_copy(Attention(fused=True), {})
    buffers = dict(network.named_buffers())
    assert buffers["order"].tolist() == [-1, -2, -3, -4, -5] and bool(buffers["mask"].all())


def official_scores(
    model: nn.Module, batches: list[Batch], *, method: str, batch_norm: str
) -> dict[str, Tensor]:
    """SNIP and GraSP as published code has them: the whole model in train mode or in eval mode,
    mean losses of single batches, factors on the weights (SNIP), two passes over the batches
    (GraSP)."""
    model.train(batch_norm == "batch")
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    weights = {name: state[name].clone().requires_grad_() for name in prunable(model)}
    factors = {name: torch.ones_like(w).requires_grad_() for name, w in weights.items()}

    def loss(x: Tensor, y: Tensor, temperature: float) -> Tensor:
        kept = {name: factors[name] * weight for name, weight in weights.items()}
        buffers = {name: value.clone() for name, value in state.items()}
        return cross_entropy(functional_call(model, {**buffers, **kept}, x) / temperature, y)

    if method == "snip":
        for x, y in batches:
            loss(x, y, 1.0).backward()
        return {name: factor.grad.abs() for name, factor in factors.items()}  # type: ignore[union-attr]
    stopped = [torch.zeros_like(weight) for weight in weights.values()]
    for x, y in batches:
        gradients = torch.autograd.grad(loss(x, y, 200.0), list(weights.values()))
        stopped = [sum_ + g for sum_, g in zip(stopped, gradients, strict=True)]
    for x, y in batches:
        gradients = torch.autograd.grad(
            loss(x, y, 200.0), list(weights.values()), create_graph=True
        )
        torch.stack(
            [(s * g).sum() for s, g in zip(stopped, gradients, strict=True)]
        ).sum().backward()
    return {name: (w.grad * w).detach() for name, w in weights.items()}  # type: ignore[operator]


@pytest.mark.parametrize("batch_norm", ["batch", "running"])
@pytest.mark.parametrize("method", ["snip", "grasp"])
def test_both_modes_of_batch_norm_give_the_masks_of_published_code(
    method: str, batch_norm: str
) -> None:
    def made() -> nn.Module:
        torch.manual_seed(3)
        return network("resnet8", image=(3, 16, 16), classes=10).double()

    x = torch.randn(40, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    y = torch.arange(40) % 10
    # One batch whatever its size: balanced, as the method draws it.
    given = PruneInput(
        model=made(),
        masks=all_kept(made()),
        sparsity=0.9,
        generator=torch.Generator(),
        images=lambda count: iter([(x, y)]),
        image=(3, 16, 16),
    )
    masks = build_method(method, {"examples_per_class": 4, "batch_norm": batch_norm}).prune(given)
    assert isinstance(masks, dict)
    scores = official_scores(made(), [(x, y)], method=method, batch_norm=batch_norm)
    flat = flatten(scores.values())
    threshold = flat.kthvalue(len(flat) - round(0.1 * len(flat))).values
    assert torch.equal(flatten(masks.values()), flat > threshold)
    other = {"batch": "running", "running": "batch"}[batch_norm]
    changed = official_scores(made(), [(x, y)], method=method, batch_norm=other)
    assert not torch.equal(flatten(masks.values()), flatten(changed.values()) > threshold)
