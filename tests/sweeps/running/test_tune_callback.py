"""What becomes of Tune's reports.

Covers: sweeps/running/tune_callback.py, sweeps/running/not_pickled.py,
sweeps/running/observer.py, sweeps/running/run.py.
"""

import pickle
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweeps.planning.plan import Plan, make_plan
from sweeps.running.progress import Progress
from sweeps.running.run import StopOnRequest, find_children
from sweeps.running.stop_request import StopRequest
from sweeps.running.tune_callback import TuneCallback
from sweeps.running.worker_failures import WorkerFailures
from sweeps.study_file.study import build_study
from trainables.storage.store import Store


def small_plan() -> Plan:
    raw = {"name": "small", "dataset": "digits", "model": "mlp", "methods": ["magnitude"]}
    return make_plan(build_study({**raw, "sparsities": [0.5, 0.9], "seeds": [0]}, where="test"))


def test_a_failing_parent_tells_only_of_children_of_this_launch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = small_plan()
    dense = plan.trials[0].key
    missing = (dense, plan.children[dense][0])  # the other child is done
    progress = Progress({key: key for key in plan.by_key}, dict.fromkeys(missing, 1))
    children = find_children(plan, missing)
    callback = TuneCallback(progress, children, Store.at(tmp_path), WorkerFailures())
    failed = SimpleNamespace(
        trial_id="a", config={"key": dense}, last_result={"status": "failed", "error": "E: x"}
    )
    callback.on_trial_complete(0, [], failed)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and f"{missing[1]}  not run, because {dense} failed" in lines[1]


class Broken:
    """An observer that cannot be pickled and fails at every call."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ZeroDivisionError("no")


def make_callback(folder: Path, *observers: Any) -> TuneCallback:
    progress = Progress({"a": "a"}, {"a": 1})
    return TuneCallback(progress, {}, Store.at(folder), WorkerFailures(), observers)


def test_an_observer_that_fails_is_one_warning_and_called_no_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[str] = []
    other = SimpleNamespace(
        started=lambda key, spec: heard.append(key), reported=lambda key, result: heard.append(key)
    )
    callback = make_callback(tmp_path, Broken(), other)
    trial = SimpleNamespace(trial_id="t", config={"key": "a", "spec": {}})
    callback.on_trial_start(0, [], trial)
    callback.on_trial_result(0, [], trial, {"epochs": 1})
    printed = capsys.readouterr().out
    assert printed == "warning: Broken: ZeroDivisionError: no; the study goes on without it\n"
    assert heard == ["a", "a"]


def test_tune_can_pickle_a_callback_whatever_observes_the_run(tmp_path: Path) -> None:
    callback = make_callback(tmp_path, Broken())
    assert pickle.loads(pickle.dumps(callback)).__dict__ == {}


def test_a_stop_waits_for_the_trials_that_ran_then_and_not_for_all_that_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tune starts the next trial in place of each that stops: waiting for those, too, would open
    all trials that are left, one after the other."""
    monkeypatch.setattr(StopRequest, "running", set())
    monkeypatch.setattr(StopRequest, "reason", "")
    callback, stopper = make_callback(tmp_path), StopOnRequest()
    first, second = (
        SimpleNamespace(trial_id=name, config={"key": name, "spec": {}}, last_result={})
        for name in ("a", "b")
    )
    callback.on_trial_start(0, [], first)
    assert not stopper.stop_all() and not stopper("a", {})
    StopRequest.make("interrupted")
    assert stopper("a", {}) and not stopper.stop_all()
    callback.on_trial_complete(0, [], first)
    callback.on_trial_start(0, [], second)
    assert stopper.stop_all()
