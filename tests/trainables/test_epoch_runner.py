"""The epochs of a trial: what they record, and that a pause changes nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pruning.method import PruneInput
from pruning.methods.gmp import GMP
from pruning.phases import Train
from trainables.storage import layout, parquet_tables
from trainables.training.learning_rate import learning_rate
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

RECIPE = Recipe(epochs=2, batch=400, lr=0.05, precision="fp32")
SPEC = TrialSpec(dataset="digits", model="mlp", method="dense", seed=1, recipe=RECIPE)


def test_an_epoch_adds_a_row_for_training_and_one_for_validation(
    open_trial: Callable[..., Trial],
) -> None:
    trial = open_trial(SPEC)
    trial.run()
    curves = trial.records.curves
    places = [(row["step"], row["epoch"], row["split"], row["phase"]) for row in curves]
    assert places == [
        (epoch, epoch, split, "train") for epoch in (0, 1) for split in ("train", "validation")
    ]
    assert trial.records.epochs == 2 and trial.records.train_seconds > 0
    assert all(row["lr"] == learning_rate(RECIPE, row["epoch"] + 3 / 4) for row in curves)


def test_an_epoch_that_pauses_after_every_batch_ends_as_one_that_does_not(
    open_trial: Callable[..., Trial], tmp_path: Path
) -> None:
    straight = open_trial(SPEC, tmp_path / "straight")
    straight.run()
    paused = open_trial(SPEC, tmp_path / "paused")
    batches = []
    while not paused.done:
        paused.advance(lambda: True)
        batches.append((paused.runner.in_epoch, paused.runner.batches))
    one_epoch = [(True, 1), (True, 2), (True, 3), (False, 0)]
    assert batches == [*one_epoch, *one_epoch, (False, 0)]
    weights = paused.runner.network.copy_weights()
    for name, value in straight.runner.network.copy_weights().items():
        assert torch.equal(value, weights[name])
    assert straight.records.curves == paused.records.curves
    assert straight.records.train_macs == paused.records.train_macs


IMAGES = 1295  # of digits, to train on
RETRAIN = Recipe(epochs=3, batch=400, lr=0.01, precision="fp32")


def measured(trial: Trial) -> list[dict[str, Any]]:
    """The rows of a trial, which is run to its end, as they are stored."""
    trial.run()
    return list(parquet_tables.read_table(trial.store, layout.ROWS, trial.spec.key).to_pylist())


# Small, with three layers whose filters can be removed.
NETWORK = "tests.networks.architectures:depthwise_se"
LAYERS = 3


def run_after_dense(open_trial: Callable[..., Trial], method: str, **more: Any) -> Trial:
    """A trial of a method that starts from the dense network, which is trained for it."""
    open_trial(SPEC.model_copy(update={"model": NETWORK, "rewind_epochs": (0,)})).run()
    changes = {"model": NETWORK, "method": method, "retrain": RETRAIN, **more}
    return open_trial(SPEC.model_copy(update=changes))


def test_training_macs_are_three_passes_over_all_images(open_trial: Callable[..., Trial]) -> None:
    (row,) = measured(open_trial(SPEC))
    weights = 64 * 300 + 300 * 100 + 100 * 10
    assert row["macs"] == weights
    assert row["train_macs"] == 3 * 2 * IMAGES * weights
    assert row["test_images"] == 359 and row["schema_version"] == 4


def test_a_masked_network_trains_for_as_many_macs_as_the_dense_one(
    open_trial: Callable[..., Trial],
) -> None:
    (row,) = measured(run_after_dense(open_trial, "magnitude", sparsities=(0.9,)))
    assert row["effective_macs"] < 0.5 * row["macs"]
    assert row["train_macs"] == 3 * 3 * IMAGES * row["macs"], "without those of the dense training"


def test_a_smaller_network_trains_for_less(open_trial: Callable[..., Trial]) -> None:
    (row,) = measured(run_after_dense(open_trial, "l1_filter", sparsities=(0.75,)))
    assert row["train_macs"] == 3 * 3 * IMAGES * row["macs"]
    whole = open_trial(SPEC.model_copy(update={"model": NETWORK})).runner.network
    assert row["macs"] < 0.5 * whole.count_macs()


def test_macs_of_each_size_that_a_network_passes_are_added(
    open_trial: Callable[..., Trial],
) -> None:
    trial = run_after_dense(open_trial, "hrank", sparsities=(0.75,), knobs={"layer_epochs": 1})
    expected, sizes = 0, []
    while not trial.done:
        before = trial.records.epochs
        trial.advance()
        if trial.records.epochs > before:
            sizes.append(trial.runner.network.count_macs())
            expected += 3 * IMAGES * sizes[-1]
            assert trial.records.train_macs == expected
    assert len(set(sizes)) > 2 and sizes == sorted(sizes, reverse=True)
    (row,) = measured(trial)
    assert row["train_macs"] == expected and row["macs"] == sizes[-1]


def test_each_level_has_the_macs_trained_up_to_it(open_trial: Callable[..., Trial]) -> None:
    rows = measured(
        run_after_dense(open_trial, "lottery_ticket", sparsities=(0.2, 0.36), knobs={"levels": 2})
    )
    assert [row["epochs"] for row in rows] == [2, 4]
    assert [row["train_macs"] for row in rows] == [
        3 * row["epochs"] * IMAGES * row["macs"] for row in rows
    ]


def test_a_trial_without_training_has_none(open_trial: Callable[..., Trial]) -> None:
    trial = run_after_dense(open_trial, "magnitude_post", sparsities=(0.5,))
    assert {row["train_macs"] for row in measured(trial)} == {0.0}


def test_macs_are_unknown_where_an_older_version_began_the_trial(
    open_trial: Callable[..., Trial],
) -> None:
    trial = open_trial(SPEC)
    trial.advance()
    trial.records.train_macs = None  # as from a checkpoint without it
    trial.save()
    again = open_trial(SPEC)
    assert again.start > 0
    (row,) = measured(again)
    assert row["train_macs"] is None and row["epochs"] == 2


def test_a_trial_that_may_not_read_the_test_set_counts_no_test_images(
    open_trial: Callable[..., Trial],
) -> None:
    (row,) = measured(open_trial(SPEC.model_copy(update={"test": False})))
    assert row["test_images"] is None and row["test_top1"] is None and row["val_top1"] > 0


@pytest.mark.parametrize(("epochs", "change_at"), [(2, 1), (4, 2), (5, 3)])
def test_a_longer_dense_training_stretches_schedule_and_changes(
    open_trial: Callable[..., Trial], epochs: int, change_at: int
) -> None:
    """The recipe halves its batch in the middle, and lowers its rate there."""
    recipe = Recipe.model_validate(
        {
            **RECIPE.model_dump(),
            "schedule": "multistep",
            "milestones": (1,),
            "changes": ({"epoch": 1, "batch": 200},),
        }
    )
    changes = {"recipe": recipe, "method": "dense_longer", "knobs": {"epochs": epochs}}
    trial = open_trial(SPEC.model_copy(update=changes))
    batches: list[int] = []
    while not trial.done:
        trial.advance(lambda: bool(batches.append(trial.step)))
    per_epoch = [1 + batches.count(step) for step in range(epochs)]  # no pause after the last one
    assert per_epoch == [4 if epoch < change_at else 7 for epoch in range(epochs)]
    rates = [row["lr"] for row in trial.records.curves if row["split"] == "train"]
    middle = [(epoch + 1 - 1 / count) / epochs >= 0.5 for epoch, count in enumerate(per_epoch)]
    assert rates == pytest.approx([0.005 if late else 0.05 for late in middle])
    assert trial.records.rows[0]["sparsity_reached"] == 0.0


def test_a_phase_names_its_recipe(open_trial: Callable[..., Trial]) -> None:
    epochs = open_trial(SPEC.model_copy(update={"retrain": Recipe(lr=0.01)})).runner._epochs
    assert epochs.recipe_of(Train("train", 2)) == RECIPE
    assert epochs.recipe_of(Train("retrain", 2)).lr == 0.01
    epochs.spec = SPEC
    assert epochs.recipe_of(Train("retrain", 2)) == RECIPE


def test_the_best_test_accuracy_begins_anew_with_every_training(
    open_trial: Callable[..., Trial],
) -> None:
    recipe = RECIPE.model_copy(update={"record_best_test": True})
    trial = open_trial(SPEC.model_copy(update={"recipe": recipe}))
    trial.records.best_test = 101.0
    trial.advance()
    assert trial.records.best_test is not None and trial.records.best_test <= 100


def test_notes_of_an_update_stand_once_in_the_row(
    open_trial: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = GMP.update

    def update(self: GMP, inputs: PruneInput) -> Any:
        inputs.notes.extend(["a layer was left alone", f"half is {inputs.progress >= 0.5}"])
        return plain(self, inputs)

    monkeypatch.setattr(GMP, "update", update)
    trial = open_trial(SPEC.model_copy(update={"method": "gmp", "sparsities": (0.5,)}))
    while not trial.done:  # saved and opened again after every batch
        trial.advance(lambda: True)
        trial.save()
        trial = open_trial(trial.spec)
    assert trial.records.rows[0]["notes"] == "a layer was left alone; half is False; half is True"


@pytest.mark.parametrize("batch", [100, 1200])
def test_gmp_reaches_its_sparsity_although_the_batch_changes(
    open_trial: Callable[..., Trial], batch: int
) -> None:
    """The version before counted all epochs by the batches of the present one: 0 % were reached."""
    recipe = Recipe.model_validate(
        {**RECIPE.model_dump(), "epochs": 4, "changes": ({"epoch": 2, "batch": batch},)}
    )
    changes = {"recipe": recipe, "method": "gmp", "sparsities": (0.9,)}
    (row,) = measured(open_trial(SPEC.model_copy(update=changes)))
    assert row["sparsity_reached"] == pytest.approx(0.9, abs=1e-4)


HRANK: dict[str, Any] = {"sparsities": (0.75,), "knobs": {"layer_epochs": 2}}


def run_streams(trial: Trial) -> list[tuple[Any, ...]]:
    """The names of the random numbers of every epoch of a trial, which is run to its end."""
    streams = []
    while not trial.done:
        before = trial.records.epochs
        trial.advance()
        if trial.records.epochs > before:
            streams.append(tuple(trial.runner._epochs._begun_with["stream"]))
    return streams


def test_the_last_retraining_of_hrank_has_random_numbers_of_its_own(
    open_trial: Callable[..., Trial],
) -> None:
    streams = run_streams(run_after_dense(open_trial, "hrank", **HRANK))
    layers = [("retrain", level, epoch) for level in range(1, LAYERS + 1) for epoch in (0, 1)]
    assert streams == [*layers, *(("retrain", LAYERS, epoch, "again", 1) for epoch in range(3))]


def test_an_epoch_that_an_older_version_began_ends_with_the_images_it_began_with(
    open_trial: Callable[..., Trial],
) -> None:
    recipe = Recipe.model_validate(
        {**RETRAIN.model_dump(), "changes": ({"epoch": 1, "batch": 200},)}
    )
    trial = run_after_dense(open_trial, "hrank", **HRANK, retrain=recipe)
    while trial.records.level < LAYERS or trial.records.epochs < 2 * LAYERS + 1:
        trial.advance()
    trial.advance(lambda: True)
    for name in ("stream", "recipe_epoch"):  # as from a checkpoint without them
        trial.runner._epochs._begun_with.pop(name)
    trial.save()
    for _ in range(2):  # also where it pauses again
        trial = open_trial(trial.spec)
        assert trial.runner.in_epoch
        trial.advance(lambda: True)
        assert trial.runner._epochs._begun_with["stream"] == ["retrain", LAYERS, 1]
        trial.save()
    assert run_streams(trial) == [("retrain", LAYERS, 1), ("retrain", LAYERS, 2, "again", 1)]


def test_changes_of_a_recipe_are_laid_over_the_epochs_of_a_layer(
    open_trial: Callable[..., Trial],
) -> None:
    """The retrain recipe of 4 epochs halves its batch in the middle: 2 epochs of a layer, too."""
    recipe = Recipe.model_validate(
        {**RETRAIN.model_dump(), "epochs": 4, "changes": ({"epoch": 2, "batch": 200},)}
    )
    trial = run_after_dense(open_trial, "hrank", **HRANK, retrain=recipe)
    batches: list[int] = []
    while not trial.done:
        trial.advance(lambda: bool(batches.append(trial.records.epochs)))
    per_epoch = [1 + batches.count(epoch) for epoch in range(trial.records.epochs)]
    assert per_epoch == [4, 7] * LAYERS + [4, 4, 7, 7]
