"""Averages of weights, accumulated and clipped gradients, onecycle and chosen weight decay in whole
trials: they continue bit for bit, and the average is the network.

Covers: trainables/epoch_runner.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pruning.masks import kept_count, prunable
from pruning.phases import Prune, Train
from trainables.dense_weights import read_dense_weights
from trainables.saved_networks import find_saved_network, save_network
from trainables.storage import schema
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec, dense_spec

# 1,295 images to train on: five batches, and two optimiser steps of 900 and 395 images.
ALL: dict[str, Any] = {
    "epochs": 3,
    "batch": 300,
    "lr": 0.1,
    "precision": "fp32",
    "accumulate": 3,
    "clip": 0.5,
    "ema": 0.75,
    "decay_norm_and_bias": False,
    "schedule": "onecycle",
    "cycle_momentum": True,
}
SPEC = TrialSpec(
    dataset="digits",
    model="tests.contract.small_networks:residual",
    method="dense",
    seed=1,
    recipe=Recipe.model_validate(ALL),
)


def with_recipe(spec: TrialSpec, **fields: Any) -> TrialSpec:
    recipe = Recipe.model_validate({**spec.recipe.model_dump(), **fields})
    return spec.model_copy(update={"recipe": recipe})


def of_method(method: str, **more: Any) -> TrialSpec:
    return SPEC.model_copy(update={"method": method, **more})


def network_of(trial: Trial) -> dict[str, Tensor]:
    return trial.runner.network.copy_weights()


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def results(trial: Trial) -> list[dict[str, Any]]:
    """The rows and the curves of a trial, without what may differ between two runs."""
    rows = [*trial.records.rows, *trial.records.curves]
    return [{k: v for k, v in row.items() if k not in schema.CIRCUMSTANCES} for row in rows]


SPECS = {
    "dense": SPEC,
    "adam": with_recipe(SPEC, optimizer="adamw", lr=0.01),
    "multistep": with_recipe(
        SPEC, schedule="multistep", milestones=(1, 2), cycle_momentum=False, warmup=1
    ),
    "changes": with_recipe(
        with_recipe(SPEC, accumulate=1, ema=None, clip=None),
        changes=({"epoch": 1, "accumulate": 3, "ema": 0.5}, {"epoch": 2, "clip": 0.1, "ema": 0.9}),
    ),
    "gmp": of_method("gmp", sparsities=(0.8,)),
    "rigl": of_method("rigl", sparsities=(0.8,), knobs={"every": 2}),
    "set": of_method("set", sparsities=(0.8,), knobs={"every": 2}),
    "lottery_ticket": of_method(
        "lottery_ticket", sparsities=(0.2, 0.36), knobs={"levels": 2, "rewind_to": 1}
    ),
    "l1_filter": of_method(
        "l1_filter", sparsities=(0.5,), retrain=Recipe.model_validate({**ALL, "epochs": 1})
    ),
}


@pytest.mark.parametrize("name", SPECS)
def test_a_trial_that_ends_and_is_opened_again_after_every_batch_is_bit_equal(
    open_trial: Callable[..., Trial], tmp_path: Path, name: str
) -> None:
    spec, opened = SPECS[name], []
    for folder in ("straight", "stopped"):
        if spec.method in ("lottery_ticket", "l1_filter"):
            open_trial(dense_spec(spec, (1,)), tmp_path / folder).run()
    straight = open_trial(spec, tmp_path / "straight")
    straight.run()
    stopped = open_trial(spec, tmp_path / "stopped")
    while not stopped.done:
        stopped.advance(lambda: True)
        stopped.save()
        opened.append(stopped.position)
        if not stopped.done:
            stopped = open_trial(spec, tmp_path / "stopped")
    assert len(opened) >= 5 * len({row["step"] for row in straight.records.curves})
    assert_equal(network_of(straight), network_of(stopped))
    assert results(straight) == results(stopped)


def test_a_pause_in_the_process_within_an_optimiser_step_changes_nothing(
    open_trial: Callable[..., Trial], tmp_path: Path
) -> None:
    straight, paused = (open_trial(SPEC, tmp_path / name) for name in ("straight", "paused"))
    straight.run()
    while not paused.done:
        paused.advance(lambda: True)
    assert_equal(network_of(straight), network_of(paused))
    assert results(straight) == results(paused)


def average_by_hand(
    trial: Trial, decay: float
) -> tuple[list[dict[str, Tensor]], list[dict[str, Tensor]]]:
    """The weights before every epoch and at the end, and their average after every epoch, of a
    trial that takes an optimiser step a batch and keeps no average itself."""
    average: dict[str, Tensor] = {}
    weights, averages = [network_of(trial)], []
    while trial.step < trial.spec.recipe.epochs:
        before = trial.step
        trial.advance(lambda: True)
        now = network_of(trial)
        if not average:
            average = {name: value.clone() for name, value in now.items()}
        for name, value in now.items():
            if value.is_floating_point():
                get_ema_multi_avg_fn(decay)([average[name]], [value], 1)
            else:
                average[name] = value
        if trial.step > before:
            weights.append(now)
            averages.append({name: value.clone() for name, value in average.items()})
    return weights, averages


def test_the_average_is_the_network(open_trial: Callable[..., Trial], tmp_path: Path) -> None:
    """It is evaluated after every epoch, measured, saved, and stored for methods that start from
    the dense network; a rewind goes back to the weights of the training itself."""
    one_by_one = with_recipe(SPEC, accumulate=1, clip=None, epochs=2)
    plain = open_trial(with_recipe(one_by_one, ema=None), tmp_path / "plain")
    weights, averages = average_by_hand(plain, 0.75)
    spec = one_by_one.model_copy(update={"rewind_epochs": (0, 1)})
    trial = open_trial(spec, tmp_path / "average")
    trial.run()
    assert_equal(network_of(trial), averages[-1])
    assert not torch.equal(network_of(trial)["stem.weight"], weights[-1]["stem.weight"])
    for epoch, stored in ((0, weights[0]), (1, weights[1]), (2, averages[-1])):
        assert_equal(read_dense_weights(trial.store, spec, epoch), stored)
    network, loader = plain.runner.network, plain.runner.loader
    for epoch, average in enumerate(averages):
        network.model.load_state_dict(average)
        accuracy = network.evaluate(loader.evaluation_batches("validation"))
        (row,) = (
            row
            for row in trial.records.curves
            if row["epoch"] == epoch and row["split"] == "validation"
        )
        assert accuracy and (row["top1"], row["loss"]) == (accuracy.top1, accuracy.loss)
    test = network.evaluate(loader.evaluation_batches("test"))
    (row,) = trial.records.rows
    assert test and (row["test_top1"], row["test_loss"]) == (test.top1, test.loss)
    save_network(trial.store, trial.runner.network, row, loader.data)
    saved = find_saved_network(trial.store, spec.key, row["level"], row["digest"])
    assert saved
    assert_equal(saved.weights, averages[-1])


@pytest.mark.parametrize("method", ["gmp", "rigl", "set"])
def test_masks_hold_on_the_average_at_every_moment(
    open_trial: Callable[..., Trial], method: str
) -> None:
    trial = open_trial(with_recipe(SPECS[method], ema=0.99))
    changes = 0
    before: dict[str, Tensor] = {}
    while trial.step < len(trial.steps) - 1:
        trial.advance(lambda: True)
        network = trial.runner.network
        masks = {name: mask.clone() for name, mask in network.masks.items()}
        changes += any(not torch.equal(mask, masks[name]) for name, mask in before.items())
        before = masks
        average = network.average.state() if network.average else {}
        for name, weight in prunable(network.model).items():
            assert not weight[~masks[name]].any()
            assert not average or not average[name][~masks[name]].any()
    assert changes >= 2 and trial.runner.network.average is None
    trial.run()
    (row,) = trial.records.rows
    assert row["prunable"] - row["zeros"] == kept_count(0.8, row["prunable"])


def test_every_training_begins_an_average_of_its_own(open_trial: Callable[..., Trial]) -> None:
    spec = SPECS["lottery_ticket"]
    open_trial(dense_spec(spec, (1,))).run()
    trial = open_trial(spec)
    begun = 0
    while not trial.done:
        phase, epoch = trial.runner.phases[trial.steps[trial.step][0]], trial.steps[trial.step][1]
        first = isinstance(phase, Train) and epoch == phase.start and not trial.runner.batches
        if first or isinstance(phase, Prune):
            assert trial.runner.network.average is None
        trial.advance(lambda: True)
        average = trial.runner.network.average
        if first:
            assert average and average.state() == {}, "one batch is no optimiser step yet"
            begun += 1
    assert begun == 2


def test_a_checkpoint_from_before_there_were_averages_is_continued(
    open_trial: Callable[..., Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = with_recipe(SPEC, **{name: Recipe.model_fields[name].default for name in (
        *("accumulate", "clip", "ema", "decay_norm_and_bias", "schedule", "cycle_momentum"),
    )})  # fmt: skip
    straight = open_trial(spec, tmp_path / "straight")
    straight.run()
    trial = open_trial(spec, tmp_path / "stopped")
    trial.advance()
    trial.advance(lambda: True)
    state = type(trial.runner.network).state

    def without_average(*args: Any, **kwargs: Any) -> Any:
        saved: Any = state(*args, **kwargs)
        saved.pop("average")
        return saved

    with monkeypatch.context() as patch:
        patch.setattr(type(trial.runner.network), "state", without_average)
        trial.save()
    trial = open_trial(spec, tmp_path / "stopped")
    assert trial.runner.in_epoch and trial.start > 0
    trial.run()
    assert_equal(network_of(straight), network_of(trial))


MLP = SPEC.model_copy(update={"model": "mlp"})  # without batch-norm, whose statistics are a batch's


@pytest.mark.parametrize(
    "spec",
    [
        with_recipe(MLP, ema=None, clip=None),
        MLP,
        with_recipe(MLP, schedule="cosine", cycle_momentum=False, optimizer="adamw", lr=0.003),
        MLP.model_copy(update={"method": "gmp", "sparsities": (0.5,), "knobs": {"every": 2}}),
    ],
    ids=["plain", "all", "adamw", "gmp"],
)
def test_accumulated_batches_train_as_one_large_batch(
    open_trial: Callable[..., Trial], tmp_path: Path, spec: TrialSpec
) -> None:
    """The last optimiser step of an epoch has 95 images, in one batch or in two."""
    trained = {}
    for batch, accumulate in ((600, 1), (200, 3), (60, 10)):
        fields = {"batch": batch, "accumulate": accumulate, "augment": "none"}
        trial = open_trial(with_recipe(spec, **fields), tmp_path / str(batch))
        trial.run()
        trained[batch] = trial
    large = trained.pop(600)
    for batch, trial in trained.items():
        for name, value in network_of(large).items():
            torch.testing.assert_close(
                network_of(trial)[name], value, rtol=1e-4, atol=2e-6, msg=f"{batch} {name}"
            )
        for one, other in zip(large.records.curves, trial.records.curves, strict=True):
            assert one["lr"] == other["lr"]
            assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
        reached = [run.records.rows[0]["sparsity_reached"] for run in (large, trial)]
        assert reached[0] == reached[1]
