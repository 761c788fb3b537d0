"""The moving average of weights: torch's numbers, masks, and that it comes back as it was."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models.model_registry import build_model
from pruning.masks import keep_best, prunable
from tests.trainables.training.training_loop import batches
from trainables.training.weight_average import WeightAverage


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return build_model("resnet8", image=(1, 8, 8), classes=10)


def take_step(model: nn.Module, batch: int = 0) -> None:
    """A step of plain gradient descent, which moves the statistics of batch-norm, too."""
    x, y = batches()[batch]
    model.train()
    model.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter -= 0.1 * parameter.grad


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_it_is_that_of_torch_with_buffers(model: nn.Module, steps: int) -> None:
    average = WeightAverage(model)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    for step in range(steps):
        take_step(model, step)
        average.update(0.9)
        theirs.update_parameters(model)
    trained = weights_of(model)
    with average.in_model():
        inside = weights_of(model)
    for name, value in theirs.module.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(inside[name], value), name
            assert steps == 1 or not torch.equal(inside[name], trained[name]), name
        else:
            assert torch.equal(inside[name], trained[name]) and inside[name] == steps
    assert all(torch.equal(value, trained[name]) for name, value in model.state_dict().items())


def test_the_model_has_its_weights_back_where_evaluation_fails(model: nn.Module) -> None:
    average = WeightAverage(model)
    for step in range(2):
        take_step(model, step)
        average.update(0.5)
    trained = weights_of(model)
    with pytest.raises(RuntimeError, match="on purpose"), average.in_model():
        raise RuntimeError("on purpose")
    assert all(torch.equal(value, trained[name]) for name, value in model.state_dict().items())


def test_before_the_first_update_it_is_the_model(model: nn.Module) -> None:
    average, before = WeightAverage(model), weights_of(model)
    with average.in_model():
        assert all(torch.equal(value, before[name]) for name, value in weights_of(model).items())
    average.copy_to_model()
    assert average.state() == {}
    assert all(torch.equal(value, before[name]) for name, value in weights_of(model).items())


def test_masks_hold_exactly_from_the_moment_they_change(model: nn.Module) -> None:
    average = WeightAverage(model)
    for step in range(2):
        take_step(model, step)
        average.update(0.9)
    masks = keep_best({n: w.detach().abs() for n, w in prunable(model).items()}, 0.7)
    average.apply_masks(model, masks)
    average.copy_to_model()
    for name, weight in prunable(model).items():
        assert torch.equal(weight != 0, masks[name]), name


@pytest.mark.parametrize("updates", [0, 1, 3])
def test_it_continues_from_its_state(model: nn.Module, updates: int) -> None:
    average = WeightAverage(model)
    for step in range(updates):
        take_step(model, step)
        average.update(0.9)
    other = copy.deepcopy(model)
    continued = WeightAverage(other, copy.deepcopy(average.state()))
    for one, its in ((model, average), (other, continued)):
        take_step(one, 4)
        its.update(0.9)
        its.copy_to_model()
    ours = weights_of(model)
    assert all(torch.equal(value, ours[name]) for name, value in weights_of(other).items())


def test_tied_weights_are_averaged_once_and_constants_with_infinities_stay() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
            self.second.weight = self.first.weight
            self.register_buffer("hidden", torch.full((4, 4), -torch.inf).triu(1))
            self.register_buffer("scratch", torch.zeros(2), persistent=False)

    torch.manual_seed(0)
    model = Tied()
    average = WeightAverage(model)
    began = model.first.weight.detach().clone()
    average.update(0.75)
    with torch.no_grad():
        model.first.weight += 1
        model.scratch += 1  # type: ignore[operator]
    average.update(0.75)
    assert set(average.state()) == {"first.weight", "first.bias", "second.bias"}
    average.copy_to_model()
    assert model.second.weight is model.first.weight
    torch.testing.assert_close(model.first.weight.detach(), began + 0.25)
    assert torch.equal(model.hidden, torch.full((4, 4), -torch.inf).triu(1))  # type: ignore[arg-type]
    assert model.scratch.tolist() == [1, 1]  # type: ignore[operator]
