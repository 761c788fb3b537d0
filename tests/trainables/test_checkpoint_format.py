"""The keys of checkpoints, pinned: those that were written before must be continued."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from trainables.checkpoint_format import (
    FORMAT,
    NetworkState,
    RunnerState,
    TrialState,
    is_current_format,
)
from trainables.storage import checkpoints, layout
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

SPEC = TrialSpec(
    dataset="digits", model="mlp", method="dense", seed=1, recipe=Recipe(epochs=2, batch=400)
)
STORED = {
    "": {"format", "step", "attempts", "ranks", "seconds", "course"},
    "course": {
        *("level", "epochs", "train_seconds", "train_macs", "best_test", "early_stop"),
        *("started", "notes"),
        *("memory", "rows", "curves", "layers", "paused", "network"),
    },
    "network": {
        *("model", "masks", "keeps", "optimizer", "average", "scaler", "precision", "compiled"),
    },
    "paused": {"index", "seen", "loss_sum", "correct", "random", "stream", "recipe_epoch"},
}


def assert_plain(value: Any) -> None:
    """Tensors and plain values only, which `weights_only=True` loads."""
    if isinstance(value, Mapping):
        for part in value.values():
            assert_plain(part)
    elif isinstance(value, list | tuple):
        for part in value:
            assert_plain(part)
    else:
        assert isinstance(value, torch.Tensor | str | int | float | bool | None), type(value)


def test_a_checkpoint_in_the_middle_of_an_epoch_has_the_stored_keys(
    open_trial: Callable[..., Trial],
) -> None:
    trial = open_trial(SPEC)
    trial.advance()
    trial.advance(lambda: True)
    trial.save()
    folder = layout.state_folder(layout.CHECKPOINTS, SPEC.key)
    newest = checkpoints.read_newest_state(trial.store, folder, "step", accept=is_current_format)
    assert newest is not None
    saved = newest[1]
    assert set(saved) == STORED[""] == set(TrialState.__annotations__)
    assert set(saved["course"]) == STORED["course"] == set(RunnerState.__annotations__)
    network = saved["course"]["network"]
    assert set(network) == STORED["network"] == set(NetworkState.__annotations__)
    assert set(saved["course"]["paused"]) == STORED["paused"]
    assert_plain(saved)


def test_another_format_is_not_continued() -> None:
    assert is_current_format({"format": FORMAT}) and FORMAT == 3
    assert not is_current_format({"format": FORMAT - 1}) and not is_current_format({})
