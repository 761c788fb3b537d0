"""The adapter, without a cluster: results for the driver, leaving, and what is not begun.
Exceptions are in `test_ray_trial_faults.py`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainables.ray_worker import SPEC, make_config, results
from trainables import ray_trainable
from trainables.environment import Environment
from trainables.ray_trainable import Leaving, RayTrial
from trainables.storage import checkpoints
from trainables.storage.store import Store
from trainables.trial import Trial

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step ends after one batch."""
    monkeypatch.setattr(ray_trainable, "SECONDS_PER_RESULT", 0.0)
    monkeypatch.setattr(
        Trial, "advance", lambda trial, pause, advance=Trial.advance: advance(trial, lambda: True)
    )


def test_a_trial_runs_and_its_result_says_how_far(worker: RayTrial) -> None:
    last = results(worker)[-1]
    assert (
        last["status"] == "done"
        and last["steps_done"] == last["steps"] == 4
        and last["epochs"] == last["gained"] == 3
    )
    assert 10 < last["top1"] <= 100


def test_a_result_comes_from_the_middle_of_a_long_epoch(
    tmp_path: Path, worker: RayTrial, monkeypatch: Any
) -> None:
    monkeypatch.setattr(ray_trainable, "SECONDS_PER_RESULT", -1.0)
    monkeypatch.setattr(RayTrial, "_must_leave", lambda self: False)
    assert worker.step()["steps_done"] == 0  # opened, and no step done
    monkeypatch.setattr(ray_trainable, "SECONDS_PER_RESULT", 1e-9)
    assert worker.trial is not None
    while not worker.trial.runner.in_epoch:
        worker.trial.advance(lambda: True)
    given = worker.step()
    assert not given["done"] and given["status"] == "running"


def test_what_the_driver_gave_up_is_not_begun(worker: RayTrial, tmp_path: Path) -> None:
    Store.at(tmp_path).write(
        f"failures/{SPEC.key}.json", json.dumps({"error": "lost 5 times"}).encode()
    )
    assert worker.step() == {
        "done": True,
        "status": "failed",
        "steps_done": 0,
        "error": "lost 5 times",
    }
    assert worker.trial is None


def test_sigterm_checkpoints_after_the_batch_and_leaves(
    worker: RayTrial, tmp_path: Path, monkeypatch: Any
) -> None:
    advance = Trial.advance

    def hit(trial: Trial, pause: Callable[[], bool]) -> None:
        if trial.step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        advance(trial, pause)

    monkeypatch.setattr(Trial, "advance", hit)
    with pytest.raises(Leaving):
        results(worker)
    monkeypatch.undo()
    found = checkpoints.read_newest_state(Store.at(tmp_path), f"checkpoints/{SPEC.key}", "step")
    assert found is not None and "step-000001000001-" in found[0], "one epoch and one batch"
    with pytest.raises(Leaving):
        worker.step()  # another trial does not begin here

    calm = Trial(SPEC, Environment(store=str(tmp_path / "calm")))
    calm.run()
    moved = Trial(SPEC, Environment(store=str(tmp_path)))
    assert moved.start == 1_000_001 and moved.attempts == 2
    moved.run()
    assert moved.records.rows[-1]["digest"] == calm.records.rows[-1]["digest"]


def test_sigterm_between_trials_ends_the_worker_as_ray_does(
    tmp_path: Path, worker: RayTrial
) -> None:
    ended: list[int] = []
    worker._end = lambda number, frame: ended.append(number)
    os.kill(os.getpid(), signal.SIGTERM)
    assert ended == [signal.SIGTERM]


def test_a_node_that_is_drained_is_left(
    worker: RayTrial, tmp_path: Path, cut: None, monkeypatch: Any
) -> None:
    worker.step()
    monkeypatch.setattr(ray_trainable, "is_draining", lambda: True)
    with pytest.raises(Leaving):
        worker.step()


@pytest.mark.parametrize("opened", [True, False])
def test_where_the_command_wants_to_stop_a_trial_is_saved_and_ends(
    opened: bool, worker: RayTrial, tmp_path: Path, cut: None, monkeypatch: Any
) -> None:
    if opened:
        worker.step()
        assert worker.trial is not None
        worker.trial.advance(lambda: True)
    monkeypatch.setattr(ray_trainable, "is_stop_requested", lambda: True)
    result = worker.step()
    assert result["done"] and result["status"] == "running"
    saved = Store.at(tmp_path).list("checkpoints", ".pt")
    assert len(saved) == opened and (worker.trial is None) != opened
    if worker.trial:
        position = worker.trial.position
        assert Trial(SPEC, worker.environment).start == position > 0


def test_a_trial_that_has_not_ended_is_saved_before_the_worker_takes_another(
    worker: RayTrial, cut: None
) -> None:
    """Tune stops a trial and may start the next one in its worker at once."""
    worker.step()
    assert worker.trial is not None
    worker.trial.advance(lambda: True)
    position, environment = worker.trial.position, worker.environment
    other = SPEC.model_copy(update={"seed": 2})
    assert worker.reset_config(make_config(other, environment))
    assert Trial(SPEC, environment).start == position > 0


def test_reused_for_another_trial_it_starts_from_nothing(worker: RayTrial, tmp_path: Path) -> None:
    worker.step()
    other = SPEC.model_copy(update={"seed": 2})
    environment = Environment(store=str(tmp_path))
    handler = signal.getsignal(signal.SIGTERM)
    assert worker.reset_config(make_config(other, environment))
    assert (
        worker.trial is None
        and worker.exceptions == 0
        and signal.getsignal(signal.SIGTERM) == handler
    )
    assert callable(worker._end) or isinstance(worker._end, signal.Handlers)
    results(worker)
    assert Store.at(tmp_path).exists(f"rows/{other.key}.parquet")


def test_nothing_is_trained_in_another_folder_than_the_drivers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.storage.launch_token.SECONDS", 0.1)
    environment = Environment(store=str(tmp_path / "elsewhere"), launch="0123")
    before = signal.getsignal(signal.SIGTERM)
    alone = RayTrial(make_config(SPEC, environment))
    signal.signal(signal.SIGTERM, before)
    result = alone.step()
    assert result["done"] and result["status"] == "store_not_shared"
    assert "does not see the study directory" in result["error"] and alone.trial is None
    assert not (tmp_path / "elsewhere").exists()


def test_a_command_that_runs_trials_imports_no_torch() -> None:
    """Its workers do; in the command it would take seconds and hundreds of MB."""
    code = (
        "import sys, sweeps.running.run, sweeps.search.search_run; "
        "assert 'ray' in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
