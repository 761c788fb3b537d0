"""The early checks of a search: what is known of a candidate before or early in its training."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from sweeps.search.early_checks import check_pruned_network, score_untrained, tenth
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

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


def test_the_network_is_checked_after_the_last_prune(open_trial: Callable[..., Trial]) -> None:
    trial = open_trial(make(model="resnet8", knobs={"iterations": 1}, sparsities=(0.98,)))
    assert check_pruned_network(trial) is None
    trial.advance()
    check = check_pruned_network(trial)
    assert (
        check is not None
        and not check.connected
        and "stages.2.0.conv1.weight" in check.emptied_layers.split(", ")
    )
    assert check.effective_macs > 0
    again = open_trial(make(method="gmp", sparsities=(0.98,)))
    assert check_pruned_network(again) is None  # its masks change as it trains


def test_the_flow_score_is_the_flow_through_the_kept_weights(
    open_trial: Callable[..., Trial],
) -> None:
    trial = open_trial(make())
    trial.advance()
    network = trial.runner.network
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
    assert score_untrained(trial.runner, "flow") == pytest.approx(
        torch.log10(torch.tensor(total)).item(), abs=1e-6
    )
    assert score_untrained(trial.runner, "snip") < score_untrained(
        open_trial(make(sparsities=(0.5,))).runner, "snip"
    )


def test_a_tenth_is_at_least_one_epoch() -> None:
    assert [tenth(epochs) for epochs in (1, 10, 11, 160)] == [1, 1, 2, 16]
