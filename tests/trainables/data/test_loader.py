"""Trials that may not read the test set: asking for it is an error, and they are measured without
it."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from sweeps.search.early_checks import find_gate, find_score, tenth
from trainables.data.loader import TestSetWithheld
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec, dense_spec

RECIPE = Recipe(epochs=1, batch=400, lr=0.05, precision="fp32", augment="none")


def make(**changes: object) -> TrialSpec:
    first = TrialSpec(
        dataset="digits",
        model="mlp",
        method="synflow",
        sparsities=(0.9,),
        seed=3,
        recipe=RECIPE,
        test=False,
    )
    return first.model_copy(update=changes)


def test_reading_the_test_set_in_a_search_is_an_error(open_trial: Callable[..., Trial]) -> None:
    trial = open_trial(make())
    with pytest.raises(TestSetWithheld, match="the test set must not be read in a search"):
        trial.course.images.evaluation("test")
    assert len(trial.course.images.data.test_x) == len(trial.course.images.data.test_y) == 0
    assert len(list(trial.course.images.evaluation("validation"))) == 1


def test_a_recipe_that_records_the_best_test_epoch_ends_such_a_trial(
    open_trial: Callable[..., Trial],
) -> None:
    trial = open_trial(make(recipe=RECIPE.model_copy(update={"record_best_test": True})))
    with pytest.raises(TestSetWithheld):
        trial.run()


def test_rows_are_those_of_an_ordinary_trial_without_the_test_set(
    open_trial: Callable[..., Trial],
) -> None:
    searched, ordinary = open_trial(make()), open_trial(make(test=True))
    searched.run()
    ordinary.run()
    (row,), (other,) = searched.course.rows, ordinary.course.rows
    columns = {"test_top1", "test_top5", "test_loss"}
    assert all(row[name] is None and other[name] is not None for name in columns)
    assert row["digest"] == other["digest"] and row["val_top1"] == other["val_top1"]
    assert (
        len(ordinary.course.images.data.test_x) > 0
    )  # what one trial may not see, another one in the process may


def test_the_key_tells_and_ordinary_keys_stay() -> None:
    spec = make(test=True)
    assert (
        "test" not in spec.identity and make().identity["test"] is False and make().key != spec.key
    )
    assert dense_spec(make()).test is False and dense_spec(spec).test is True


def test_the_gate_opens_after_the_last_prune(open_trial: Callable[..., Trial]) -> None:
    trial = open_trial(make(model="resnet8", knobs={"iterations": 1}, sparsities=(0.98,)))
    assert find_gate(trial) is None
    trial.advance()
    gate = find_gate(trial)
    assert (
        gate is not None
        and not gate.connected
        and "stages.2.0.conv1.weight" in gate.emptied_layers.split(", ")
    )
    assert gate.effective_macs > 0
    again = open_trial(make(method="gmp", sparsities=(0.98,)))
    assert find_gate(again) is None  # its masks change as it trains


def test_the_flow_score_is_the_flow_through_the_kept_weights(
    open_trial: Callable[..., Trial],
) -> None:
    trial = open_trial(make())
    trial.advance()
    network = trial.course.network
    weights = [
        m.weight.detach().double().abs()
        for m in network.model.modules()
        if isinstance(m, nn.Linear)
    ]
    biases = [
        m.bias.detach().double().abs() for m in network.model.modules() if isinstance(m, nn.Linear)
    ]
    x = torch.ones(64, dtype=torch.float64)
    activations = [x]
    for weight, bias in zip(weights, biases, strict=True):
        activations.append(weight @ activations[-1] + bias)
    back = torch.ones(10, dtype=torch.float64)
    total = 0.0
    for weight, before in zip(reversed(weights), reversed(activations[:-1]), strict=True):
        total += float((back[:, None] * weight * before[None, :]).sum())
        back = weight.T @ back
    assert find_score(trial.course, "flow") == pytest.approx(
        torch.log10(torch.tensor(total)).item(), abs=1e-6
    )
    assert find_score(trial.course, "snip") < find_score(
        open_trial(make(sparsities=(0.5,))).course, "snip"
    )


def test_a_tenth_is_at_least_one_epoch() -> None:
    assert [tenth(epochs) for epochs in (1, 10, 11, 160)] == [1, 1, 2, 16]
