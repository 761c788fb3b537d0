"""Each kind of phase does what it says to the network and to the records."""

from collections.abc import Callable

import pytest
import torch

from pruning.masks import prunable
from pruning.phases import Measure, Phase, Prune, Recalibrate, Reinitialise, Rewind, Train
from trainables.dense_weights import DenseWeightsMissing
from trainables.phase_runner import PhaseRunner
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec, dense_spec

SPEC = TrialSpec(
    dataset="digits",
    model="resnet8",
    method="magnitude",
    sparsities=(0.5,),
    seed=1,
    recipe=Recipe(epochs=1, batch=400, precision="fp32", augment="none"),
)


def run_phase(runner: PhaseRunner, phase: Phase) -> None:
    """Run a phase of one step in place of the trial's own."""
    runner.phases[:] = [phase]
    assert runner.run_step(0, 0, 0, lambda: False)


@pytest.fixture
def runner(open_trial: Callable[..., Trial]) -> PhaseRunner:
    """A trial that starts from dense weights, with no phase run."""
    open_trial(dense_spec(SPEC)).run()
    return open_trial(SPEC).runner


def test_a_trial_that_starts_from_dense_weights_needs_them(
    open_trial: Callable[..., Trial], runner: PhaseRunner
) -> None:
    dense = open_trial(dense_spec(SPEC)).store
    folder = f"artifacts/{dense_spec(SPEC).key}"
    assert runner.network.sparsity == 0 and dense.list(folder, ".pt")
    dense.delete(folder)
    with pytest.raises(DenseWeightsMissing):
        runner.begin()


def test_prune_sets_masks_level_and_zeros(runner: PhaseRunner) -> None:
    run_phase(runner, Prune(0.5, level=2))
    assert runner.records.level == 2
    assert runner.network.sparsity == pytest.approx(0.5, abs=1e-4)
    for name, weight in prunable(runner.network.model).items():
        assert not weight[~runner.network.masks[name]].any()


def test_rewind_and_reinitialise_keep_the_masks(runner: PhaseRunner) -> None:
    network = runner.network
    dense = network.copy_weights()
    run_phase(runner, Prune(0.5))
    run_phase(runner, Reinitialise())
    drawn = network.copy_weights()
    assert not torch.equal(drawn["fc.weight"], dense["fc.weight"])
    run_phase(runner, Rewind(1))
    mask = network.masks["fc.weight"]
    assert torch.equal(network.copy_weights()["fc.weight"], dense["fc.weight"] * mask)
    assert not drawn["fc.weight"][~mask].any() and network.sparsity > 0.4


def test_recalibrate_changes_statistics_and_no_weight(runner: PhaseRunner) -> None:
    before = runner.network.copy_weights()
    run_phase(runner, Recalibrate(batches=2))
    after = runner.network.copy_weights()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all("running" in name or "num_batches" in name for name in changed)


def test_measure_records_one_row_and_the_layers(runner: PhaseRunner) -> None:
    runner.records.notes.append("a note")
    run_phase(runner, Measure(0.0, level=4, stage="raw"))
    (row,) = runner.records.rows
    assert (row["level"], row["stage"], row["sparsity"]) == (4, "raw", 0.0)
    assert row["notes"] == "a note" and row["test_top1"] > 0 and row["val_top1"] > 0
    layers = {layer["layer"] for layer in runner.records.layers}
    assert layers == set(prunable(runner.network.model))


def test_a_trial_that_may_not_read_the_test_set_has_no_test_columns(
    open_trial: Callable[..., Trial],
) -> None:
    spec = dense_spec(SPEC).model_copy(update={"test": False})
    trial = open_trial(spec)
    trial.run()
    (row,) = trial.records.rows
    assert row["test_top1"] is None and row["val_top1"] > 0


def test_weights_of_a_training_without_epochs_are_stored_at_the_beginning(
    open_trial: Callable[..., Trial],
) -> None:
    spec = dense_spec(SPEC).model_copy(
        update={"recipe": SPEC.recipe.model_copy(update={"epochs": 0})}
    )
    trial = open_trial(spec)
    (training,) = [phase for phase in trial.runner.phases if isinstance(phase, Train)]
    assert training.start == training.end == 0
    assert len(trial.store.list(f"artifacts/{spec.key}", ".pt")) == 1
