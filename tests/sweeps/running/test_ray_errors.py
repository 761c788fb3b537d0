"""Errors of Ray's that Ray Tune does not know; a worker that Ray really ends for want of memory is
in test_out_of_resources.py."""

from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    GetTimeoutError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RaySystemError,
    RayTaskError,
)
from ray.tune.error import TuneError
from ray.tune.execution import tune_controller

from sweeps.running.ray_errors import as_lost_worker, find_ray_error, lost_workers_for_tune
from sweeps.running.run import run_tuner
from sweeps.running.stop_request import StopRequest
from sweeps.running.worker_failures import find_cause
from sweeps.study_file.study_fields import Resources

UNKNOWN: list[RayError] = [
    OutOfMemoryError("Task was killed due to the node running low on memory."),
    NodeDiedError("its node has died"),
    ObjectLostError("0" * 56, None, ""),
    GetTimeoutError("it took too long"),
    RaySystemError("the raylet is gone"),
]


@pytest.mark.parametrize("error", UNKNOWN, ids=lambda error: type(error).__name__)
def test_an_error_that_tune_does_not_know_is_a_lost_worker(error: RayError) -> None:
    lost = as_lost_worker(error)
    assert isinstance(lost, RayActorError)
    assert str(lost).startswith(f"{type(error).__name__}: ")


def test_the_cause_can_still_be_read() -> None:
    assert [find_cause(str(as_lost_worker(error))) for error in UNKNOWN[:2]] == ["memory", "node"]


@pytest.mark.parametrize(
    "error",
    [
        ActorDiedError(),
        ActorUnavailableError("it does not answer", b"0" * 16),
        RayTaskError("step", "traceback", ValueError("of the trial")),
        ValueError("a bug"),
    ],
)
def test_what_tune_knows_and_what_is_not_rays_stays_as_it_is(error: Exception) -> None:
    assert as_lost_worker(error) is error


def test_tune_hears_of_a_lost_worker_only_while_it_is_told_so() -> None:
    before = tune_controller.RayActorManager
    heard: list[Exception] = []
    tracked: Any = type("Tracked", (), {"actor_id": 1, "_on_error": None})()
    task: Any = type("Task", (), {"_tracked_actor": tracked})()
    task._on_error = lambda actor, exception: heard.append(exception)
    with lost_workers_for_tune():
        manager = tune_controller.RayActorManager.__new__(tune_controller.RayActorManager)
        manager._failed_actor_ids = set()
        manager._cleanup_actor = lambda tracked_actor: None
        manager._actor_task_failed(task, UNKNOWN[0])
    assert isinstance(heard[0], RayActorError) and tune_controller.RayActorManager is before
    with pytest.raises(RuntimeError, match="Caught unexpected exception"):  # else why do it
        before._actor_task_failed(manager, task, UNKNOWN[0])


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a tuner that ends with an error."""

    def fit(tuner: object) -> None:
        raise error

    monkeypatch.setattr(tune.Tuner, "__init__", lambda tuner, *words, **how: None)
    monkeypatch.setattr(tune.Tuner, "fit", fit)
    run_tuner(tune.Trainable, None, None, Resources(), samples=1)  # type: ignore[arg-type]


def test_an_error_of_rays_that_ends_tune_is_a_reason_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    error = TuneError("Traceback")
    error.__cause__ = RaySystemError("the raylet is gone")
    fail_with(error, monkeypatch)
    reason = StopRequest.take()
    assert reason.startswith("Ray could not go on: ") and "the raylet is gone" in reason
    assert "\n" not in reason


def test_any_other_error_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    with pytest.raises(ZeroDivisionError):
        fail_with(ZeroDivisionError("a bug"), monkeypatch)
    assert not StopRequest.reason
    assert find_ray_error(ZeroDivisionError("a bug")) is None
