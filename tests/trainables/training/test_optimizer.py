"""Optimisers: weight decay of chosen parameters, changes within a training, and skipped steps."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from models.model_registry import build_model
from tests.trainables.training.training_loop import batches
from trainables.training.optimizer import (
    make_optimizer,
    set_missing_momentum,
    set_rate,
    set_recipe,
)
from trainables.training.recipe import Recipe


class Norms(nn.Module):
    """One of each kind of parameter; a norm over an area has weights of two dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.area = nn.LayerNorm([8, 8])
        self.slope = nn.PReLU(4)
        self.lstm = nn.LSTM(4, 3)
        self.table = nn.Embedding(5, 3)
        self.scale = nn.Parameter(torch.ones(()))


PLAIN = {"norm.weight", "norm.bias", "area.weight", "area.bias", "conv.bias", "slope.weight"}
PLAIN |= {"lstm.bias_ih_l0", "lstm.bias_hh_l0", "scale"}
DECAYED = {"conv.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0", "table.weight"}


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_norms_and_biases_are_without_weight_decay_where_the_recipe_says_so(kind: str) -> None:
    recipe = Recipe.model_validate({"optimizer": kind, "weight_decay": 0.1})
    model = Norms()
    names = {parameter: name for name, parameter in model.named_parameters()}
    whole = make_optimizer(model, recipe)
    assert [group["weight_decay"] for group in whole.param_groups] == [0.1]
    chosen = make_optimizer(model, recipe.model_copy(update={"decay_norm_and_bias": False}))
    for change in (recipe, recipe.model_copy(update={"weight_decay": 0.3})):
        set_recipe(chosen, change)
        decays = {
            names[parameter]: group["weight_decay"]
            for group in chosen.param_groups
            for parameter in group["params"]
        }
        assert {name for name, decay in decays.items() if decay == 0} == PLAIN
        assert {name for name, decay in decays.items() if decay == change.weight_decay} == DECAYED


def test_weight_decay_of_chosen_parameters_is_that_of_a_plain_loop() -> None:
    """Without a gradient, decay is all that moves a weight."""
    recipe = Recipe(lr=0.5, momentum=0.0, weight_decay=0.1, decay_norm_and_bias=False)
    model = Norms()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    make_optimizer(model, recipe).step()
    for name, value in model.named_parameters():
        factor = 0.95 if name in DECAYED else 1.0
        torch.testing.assert_close(value.detach(), factor * before[name], msg=name)


def test_the_choice_comes_back_from_a_state() -> None:
    recipe = Recipe(weight_decay=0.1, decay_norm_and_bias=False)
    model = Norms()
    state = copy.deepcopy(make_optimizer(model, recipe).state_dict())
    optimizer = make_optimizer(model, recipe)
    optimizer.load_state_dict(state)
    set_recipe(optimizer, recipe.model_copy(update={"weight_decay": 0.2}))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.2, 0.0]


@pytest.mark.parametrize(("kind", "field"), [("sgd", "momentum"), ("adam", "betas")])
def test_the_momentum_of_a_step(kind: str, field: str) -> None:
    optimizer = make_optimizer(Norms(), Recipe.model_validate({"optimizer": kind}))
    set_rate(optimizer, 0.5, None)
    (group,) = optimizer.param_groups
    first = group[field]
    set_rate(optimizer, 0.25, 0.875)
    assert group["lr"] == 0.25 and first in (0.9, (0.9, 0.999))
    assert group[field] in (0.875, (0.875, 0.999))


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("skipped", [{0}, {0, 1}, {1}, set()])
def test_a_step_that_a_gradient_scaler_skips_leaves_no_trace(kind: str, skipped: set[int]) -> None:
    """Also where it is the first: the next one does what the first would have done."""
    recipe = Recipe.model_validate({"optimizer": kind, "lr": 0.01})
    networks = []
    for steps in ([0, 1, 2, 3], [step for step in (0, 1, 2, 3) if step not in skipped]):
        torch.manual_seed(0)
        model = build_model("mlp", image=(1, 8, 8), classes=10)
        optimizer = make_optimizer(model, recipe, scaled=True)
        scaler = torch.amp.GradScaler("cpu", init_scale=64.0)  # halved: exact
        for step in steps:
            x, y = batches()[step]
            optimizer.zero_grad()
            scaler.scale(nn.functional.cross_entropy(model(x), y)).backward()
            if step in skipped:
                next(model.parameters()).grad.fill_(torch.inf)  # type: ignore[union-attr]
            scaler.step(optimizer)
            scaler.update()
        networks.append((model.state_dict(), optimizer.state_dict()["state"]))
    (weights, state), (expected, expected_state) = networks
    for name, value in weights.items():
        assert torch.equal(value, expected[name]), name
    for index, values in state.items():
        for name, value in values.items():
            assert torch.equal(value, expected_state[index][name]), (index, name)


def test_momentum_begins_with_zero_where_steps_may_be_skipped() -> None:
    """Torch asks for memory and does not write to it when the first step is skipped, so that
    numbers alone show this only by chance."""
    model = build_model("mlp", image=(1, 8, 8), classes=10)
    for optimizer in (
        make_optimizer(model, Recipe(), scaled=True),
        make_optimizer(model, Recipe(momentum=0.0), scaled=True),
        make_optimizer(model, Recipe()),
    ):
        set_missing_momentum(optimizer)
        for parameter in model.parameters():
            momentum = optimizer.state[parameter]["momentum_buffer"]
            assert momentum.shape == parameter.shape and not momentum.any()
    assert not make_optimizer(model, Recipe()).state


def test_momentum_that_has_begun_stays() -> None:
    model = build_model("mlp", image=(1, 8, 8), classes=10)
    optimizer = make_optimizer(model, Recipe())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    before = [state["momentum_buffer"].clone() for state in optimizer.state.values()]
    set_missing_momentum(optimizer)
    after = [state["momentum_buffer"] for state in optimizer.state.values()]
    assert all(map(torch.equal, before, after)) and all(value.any() for value in before)


def test_zero_momentum_gives_the_same_first_steps() -> None:
    networks = []
    for scaled in (False, True):
        torch.manual_seed(0)
        model = build_model("resnet8", image=(1, 8, 8), classes=10)
        optimizer = make_optimizer(model, Recipe(nesterov=True), scaled=scaled)
        for x, y in batches(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        networks.append(list(model.state_dict().values()))
    for one, other in pairwise(networks):
        assert all(map(torch.equal, one, other))


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_rate_is_the_same_as_a_number_and_as_a_tensor(name: str) -> None:
    """As a CUDA graph reads it: a float32 on the device."""
    left, right = (nn.Linear(7, 5) for _ in range(2))
    right.load_state_dict(left.state_dict())
    recipe = Recipe.model_validate({"optimizer": name})
    optimizers = [make_optimizer(model, recipe) for model in (left, right)]
    for step, rate in enumerate((0.1, 0.0123456789, 1 / 3)):
        for model, optimizer in zip((left, right), optimizers, strict=True):
            torch.manual_seed(step)
            model(torch.randn(4, 7)).square().sum().backward()
            set_rate(optimizer, rate, None)
            assert optimizer.param_groups[0]["lr"] == float(torch.tensor(rate))
        optimizers[1].param_groups[0]["lr"] = torch.tensor(rate, dtype=torch.float32)
        for model, optimizer in zip((left, right), optimizers, strict=True):
            optimizer.step()
            model.zero_grad()
        assert torch.equal(left.weight, right.weight) and torch.equal(left.bias, right.bias)
