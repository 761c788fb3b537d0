"""Early stopping, told from a training that runs to its end: as one reads it off the curves by
hand, and the same however often the trial is interrupted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from trainables.early_stop import SPLIT, count_iterations
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

torch.set_num_threads(1)
# 13 batches an epoch; a rate so large that the validation loss rises again.
RECIPE = Recipe(
    epochs=3,
    batch=100,
    lr=0.5,
    schedule="constant",
    precision="fp32",
    augment="none",
    compile=False,
    evaluate_every=4,
)
SPEC = TrialSpec(dataset="digits", model="mlp", method="dense", seed=1, recipe=RECIPE)
COLUMNS = ("early_stop_iteration", "early_stop_val_loss", "early_stop_test_top1")


def change(spec: TrialSpec = SPEC, **fields: object) -> TrialSpec:
    """The trial with other fields of its recipe."""
    recipe = {**spec.recipe.model_dump(), **fields}
    return spec.model_copy(update={"recipe": Recipe.model_validate(recipe)})


def evaluations(trial: Trial) -> list[dict[str, Any]]:
    return [row for row in trial.records.curves if row["split"] == SPLIT]


def last_training(trial: Trial) -> list[dict[str, Any]]:
    """The evaluations of the last training: there the iterations begin anew."""
    rows = evaluations(trial)
    begins = [
        i for i, row in enumerate(rows) if not i or row["iteration"] <= rows[i - 1]["iteration"]
    ]
    return rows[begins[-1] :]


def run(trial: Trial) -> dict[str, Any]:
    trial.run()
    return dict(trial.records.rows[-1])


def test_the_iteration_is_the_one_read_off_the_curves(open_trial: Callable[..., Trial]) -> None:
    trial = open_trial(SPEC)
    row = run(trial)
    rows = evaluations(trial)
    assert [of["iteration"] for of in rows] == list(range(4, 40, 4))
    assert [of["epoch"] for of in rows] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    best = min(rows, key=lambda of: of["loss"])
    assert row["early_stop_iteration"] == best["iteration"] < 36
    assert row["early_stop_val_loss"] == best["loss"] < rows[-1]["loss"]


def test_the_accuracy_is_that_of_the_network_of_that_iteration(
    open_trial: Callable[..., Trial], tmp_path: Path
) -> None:
    row = run(open_trial(SPEC, tmp_path / "whole"))
    plain = open_trial(change(evaluate_every=0), tmp_path / "plain")
    network, loader = plain.runner.network, plain.runner.loader
    iteration = 0
    while iteration < row["early_stop_iteration"]:
        plain.advance(lambda: True)
        iteration += 1
    validation = network.evaluate(loader.evaluation_batches("validation"))
    test = network.evaluate(loader.evaluation_batches("test"))
    assert validation is not None and test is not None
    assert validation.loss == row["early_stop_val_loss"]
    assert test.top1 == row["early_stop_test_top1"] != row["test_top1"]


def test_the_training_is_the_same_with_and_without(
    open_trial: Callable[..., Trial], tmp_path: Path
) -> None:
    """Dropout and batch-norm would tell a model left in eval mode or other random numbers."""
    spec = SPEC.model_copy(update={"model": "tests.networks.for_ranks:with_dropout"})
    spec = change(spec, lr=0.02, epochs=2)
    trials = [
        open_trial(change(spec, evaluate_every=every), tmp_path / str(every)) for every in (0, 1)
    ]
    rows = [run(trial) for trial in trials]
    first, second = (trial.runner.network.copy_weights() for trial in trials)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert rows[0]["test_loss"] == rows[1]["test_loss"]
    assert [rows[0][name] for name in COLUMNS] == [None] * 3
    epochs = [[r for r in trial.records.curves if r["split"] != SPLIT] for trial in trials]
    keyless = [[{**r, "key": ""} for r in of_trial] for of_trial in epochs]
    assert keyless[0] == keyless[1]


@pytest.mark.parametrize("fields", [{}, {"accumulate": 3}, {"ema": 0.9}], ids=str)
def test_a_trial_opened_anew_after_every_batch_says_the_same(
    open_trial: Callable[..., Trial], tmp_path: Path, fields: dict[str, Any]
) -> None:
    spec = change(epochs=2, **fields)
    straight = open_trial(spec, tmp_path / "straight")
    expected = run(straight)
    trial = open_trial(spec, tmp_path / "again")
    while not trial.done:
        trial.advance(lambda: True)
        trial.save()
        if not trial.done:
            trial = open_trial(spec, tmp_path / "again")
    row = trial.records.rows[-1]
    assert [row[name] for name in (*COLUMNS, "digest")] == [
        expected[name] for name in (*COLUMNS, "digest")
    ]
    assert evaluations(straight) and trial.records.curves == straight.records.curves


def test_iterations_are_optimiser_steps_counted_from_the_start_of_the_recipe(
    open_trial: Callable[..., Trial],
) -> None:
    assert count_iterations([(13, 1)], 0) == 0
    assert count_iterations([(13, 3), (13, 3)], 7) == 5 + 2
    assert count_iterations([(13, 1), (7, 2), (7, 2)], 1) == 13 + 4
    trial = open_trial(change(accumulate=3, evaluate_every=2))
    run(trial)  # 5 steps an epoch
    assert [row["iteration"] for row in evaluations(trial)] == [2, 4, 6, 8, 10, 12, 14]


def test_every_level_of_a_ticket_has_its_own(open_trial: Callable[..., Trial]) -> None:
    dense = SPEC.model_copy(update={"rewind_epochs": (1,)})
    run(open_trial(dense))
    ticket = SPEC.model_copy(
        update={
            "method": "lottery_ticket",
            "knobs": {"levels": 2, "rewind_to": 1},
            "sparsities": (0.2, 0.36),
        }
    )
    trial = open_trial(ticket)
    run(trial)
    rows = evaluations(trial)
    # Epochs 1 and 2 of the recipe, twice: steps 14 ... 39, of which every fourth is evaluated.
    assert [row["iteration"] for row in rows] == 2 * [16, 20, 24, 28, 32, 36]
    for level, of_level in enumerate((rows[:6], rows[6:])):
        best = min(of_level, key=lambda of: of["loss"])
        row = trial.records.rows[level]
        assert (row["early_stop_iteration"], row["early_stop_val_loss"]) == (
            best["iteration"],
            best["loss"],
        )
    assert last_training(trial) == rows[6:]


def test_a_network_that_was_not_trained_since_its_prune_has_none(
    open_trial: Callable[..., Trial],
) -> None:
    run(open_trial(SPEC))
    post = {"method": "magnitude_post", "sparsities": (0.5,)}
    trial = open_trial(SPEC.model_copy(update=post))
    trial.run()
    assert trial.records.rows
    assert all(row[name] is None for row in trial.records.rows for name in COLUMNS)


def test_a_training_that_changes_masks_has_none(open_trial: Callable[..., Trial]) -> None:
    trial = open_trial(SPEC.model_copy(update={"method": "gmp", "sparsities": (0.5,)}))
    row = run(trial)
    assert [row[name] for name in COLUMNS] == [None] * 3 and not evaluations(trial)


def test_a_candidate_of_a_search_does_not_read_the_test_set(
    open_trial: Callable[..., Trial],
) -> None:
    trial = open_trial(SPEC.model_copy(update={"test": False}))
    row = run(trial)
    assert row["early_stop_test_top1"] is None and row["early_stop_iteration"] is not None


def test_measuring_leaves_the_network_as_it_is(open_trial: Callable[..., Trial]) -> None:
    trial = open_trial(SPEC)
    while trial.step < 3:
        trial.advance()
    before: dict[str, Tensor] = trial.runner.network.copy_weights()
    trial.run()
    after = trial.runner.network.copy_weights()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_without_a_validation_split_it_is_refused() -> None:
    with pytest.raises(ValueError, match="evaluate_every needs the validation split"):
        Recipe(evaluate_every=10, hold_out=False)
