"""Real trials that train side by side, and the GPUs that they would have."""

import multiprocessing
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from trainables.environment import Environment
from trainables.timing import concurrent_trials
from trainables.timing.concurrent_trials import name_gpu, time_concurrent_trials
from trainables.training.recipe import Recipe
from trainables.trial_spec import TrialSpec


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_trials_train_side_by_side_and_one_that_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    """Forked processes import nothing again; those of the product are spawned, as CUDA demands."""
    asked, context = [], multiprocessing.get_context(start)
    monkeypatch.setattr(multiprocessing, "get_context", lambda kind: asked.append(kind) or context)
    spec = TrialSpec(
        dataset="digits", model="mlp", method="dense", seed=0, recipe=Recipe(epochs=2, batch=100)
    )
    environment = Environment(store=str(tmp_path))
    speed = time_concurrent_trials(spec, environment, 1, gpus=2, seconds=0.2)
    assert speed.images_per_second > 100 and speed.error == ""
    missing = spec.model_copy(update={"dataset": "nowhere"})
    environment = Environment(store=str(tmp_path), data_dir=str(tmp_path))
    speed = time_concurrent_trials(missing, environment, 1, seconds=0.2)
    assert speed.images_per_second == 0
    errors = ("nowhere", "parquet", "not all trials")
    assert any(word in speed.error.lower() for word in errors)
    assert asked == ["spawn", "spawn"]
    pickle.dumps((concurrent_trials._train, missing, environment))  # what a new process is sent


@pytest.mark.parametrize(
    ("visible", "named"), [(None, ["0", "1"]), ("", ["0", "1"]), ("3, GPU-5a", ["3", "GPU-5a"])]
)
def test_a_trial_sees_the_gpu_that_it_is_for(
    visible: str | None, named: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [name_gpu(number) for number in range(2)] == named


class OwnVariables:
    """What stands for a process: what it does is done here, in variables of its own."""

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._target, self._args, self.daemon = target, args, False

    def start(self) -> None:
        with mock.patch.dict(os.environ):
            self._target(*self._args)

    def join(self, seconds: float) -> None:
        pass

    def kill(self) -> None:
        pass


def test_trials_are_dealt_out_to_all_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []

    def rate(spec: TrialSpec, environment: Environment, *_: Any) -> float:
        assert environment.sharing_gpu == 2
        used.append(os.environ["CUDA_VISIBLE_DEVICES"])
        return 100.0

    context = SimpleNamespace(Barrier=lambda count: None, Queue=Queue, Process=OwnVariables)
    monkeypatch.setattr(multiprocessing, "get_context", lambda kind: context)
    monkeypatch.setattr(concurrent_trials, "_rate", rate)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
    spec = TrialSpec(dataset="digits", model="mlp", method="dense", seed=0, recipe=Recipe())
    speed = time_concurrent_trials(spec, Environment(store="", device="cuda"), 2, gpus=3)
    assert sorted(used) == ["3", "3", "5", "5", "7", "7"] and speed.images_per_second == 600
