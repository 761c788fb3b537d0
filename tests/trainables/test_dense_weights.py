"""Weights of dense trainings: stored once for the epochs that are asked for, read or refused."""

import time
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
from trainables.storage.local_disk import Disk
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


@pytest.fixture
def lagging(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Listings of folders that show files only so many seconds after they were written, as those of
    NFS may; by name they are there at once."""
    monkeypatch.setenv("PRUNING_STORE_LAG", "20")
    list_at_once = Disk.list

    def lag(seconds: float) -> None:
        def list_late(disk: Disk, folder: str) -> list[str]:
            now = time.time()
            return [
                path
                for path in list_at_once(disk, folder)
                if now - (disk.root / folder / path).stat().st_mtime >= seconds
            ]

        monkeypatch.setattr(Disk, "list", list_late)

    return lag


def test_weights_that_a_listing_does_not_show_yet_are_waited_for(
    open_trial: Callable[..., Trial], lagging: Callable[[float], None]
) -> None:
    dense = open_trial(dense_spec(SPEC))
    dense.run()
    lagging(1.5)
    assert read_dense_weights(dense.store, SPEC, 1)
    assert open_trial(dense_spec(SPEC)).done, "it does not train again"


def test_weights_that_stay_away_are_missing_and_nothing_that_appears_is_deleted(
    open_trial: Callable[..., Trial],
    lagging: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dense = open_trial(dense_spec(SPEC))
    dense.run()
    monkeypatch.setenv("PRUNING_STORE_LAG", "0.3")
    lagging(3600)
    with pytest.raises(DenseWeightsMissing, match="holds no valid weights of epoch 1"):
        read_dense_weights(dense.store, SPEC, 1)
    lagging(0)
    assert read_dense_weights(dense.store, SPEC, 1)
