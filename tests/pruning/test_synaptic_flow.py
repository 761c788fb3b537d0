"""Scores by synaptic flow: its conservation law, absolute values, and what float64 holds.

Covers: pruning/gradient_scores.py.
"""

import pytest
import torch
from torch import nn

from models.model_registry import build_model as network
from pruning.gradient_scores import flow_scores, positive_copy
from pruning.masks import all_kept, prunable


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


def test_the_flow_leaves_buffers_that_are_no_numbers_alone() -> None:
    """The version before: "abs" of booleans is not implemented; and indices lost their sign."""
    model = nn.Linear(2, 2)
    model.register_buffer("order", torch.tensor([-1, -2]))
    model.register_buffer("mask", torch.ones(2, dtype=torch.bool))
    buffers = dict(positive_copy(model, {}).named_buffers())
    assert buffers["order"].tolist() == [-1, -2] and bool(buffers["mask"].all())
