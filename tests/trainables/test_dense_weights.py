"""Weights of dense trainings: stored once for the epochs that are asked for, read or refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pruning.phases import Train
from trainables.dense_weights import (
    DenseWeightsMissing,
    has_stored_weights,
    read_dense_weights,
    store_weights_of_epoch,
)
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec, dense_spec

SPEC = TrialSpec(
    dataset="digits",
    model="mlp",
    method="magnitude",
    sparsities=(0.5,),
    seed=1,
    recipe=Recipe(epochs=1, batch=400),
)
PHASE = Train("train", 4, publish=(2, 4))


def test_the_dense_training_of_the_seed_is_read_by_its_other_trials(
    open_trial: Callable[..., Trial],
) -> None:
    dense = open_trial(dense_spec(SPEC))
    assert not has_stored_weights(dense.store, dense.spec, dense.runner.phases)
    dense.run()
    assert has_stored_weights(dense.store, dense.spec, dense.runner.phases)
    weights = read_dense_weights(dense.store, SPEC, 1)
    state = dense.runner.network.model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in state.items())


def test_weights_are_stored_for_the_epochs_of_the_phase_and_only_once(
    open_trial: Callable[..., Trial], tmp_path: Path
) -> None:
    trial = open_trial(dense_spec(SPEC))
    folder = tmp_path / "artifacts"
    for epoch in (0, 2, 2, 3, 4):
        store_weights_of_epoch(trial.store, trial.spec, PHASE, epoch, trial.runner.network)
    names = [path.name.rpartition("-")[0] for path in sorted(folder.rglob("*.pt"))]
    assert names == ["epoch-000002", "epoch-000004"]
    assert has_stored_weights(trial.store, trial.spec, [PHASE])


def test_damaged_weights_are_deleted_so_that_they_are_made_again(
    open_trial: Callable[..., Trial], tmp_path: Path
) -> None:
    dense = open_trial(dense_spec(SPEC))
    dense.run()
    (path,) = (tmp_path / "artifacts").rglob("epoch-000001-*.pt")
    path.write_bytes(path.read_bytes()[:-1])
    message = "holds no valid weights of epoch 1"
    with (
        pytest.warns(UserWarning, match="does not match its checksum"),
        pytest.raises(DenseWeightsMissing, match=message),
    ):
        read_dense_weights(dense.store, SPEC, 1)
    assert not path.exists()
    assert not open_trial(dense_spec(SPEC)).done, "it trains again, for its weights"
