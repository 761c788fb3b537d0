"""What becomes of Tune's reports.

Covers: sweeps/running/tune_callback.py, sweeps/running/not_pickled.py,
sweeps/running/observer.py, sweeps/running/run.py.
"""

import inspect
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune import tune as tune_run

from pruning.user_error import UserError
from sweeps.planning.plan import Plan, make_plan
from sweeps.running import worker_failures
from sweeps.running.progress import Progress
from sweeps.running.run import StopOnRequest, find_children, run_plan
from sweeps.running.stop_request import StopRequest
from sweeps.running.tune_callback import TuneCallback, uncounted_callbacks
from sweeps.running.unfit_nodes import UnfitNodes
from sweeps.running.worker_failures import ROUNDS, WorkerFailures
from sweeps.study_file.study import build_study
from sweeps.study_file.study_fields import Resources
from tests.troubles import check_trouble
from trainables.environment import Environment
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
    assert not stopper.stop_all() and not stopper("a", {}), "its worker saves it and ends it"
    later = time.monotonic() + 120
    monkeypatch.setattr("sweeps.running.run.time", SimpleNamespace(monotonic=lambda: later))
    assert stopper("a", {}) and not stopper.stop_all(), "it has not heard"
    callback.on_trial_complete(0, [], first)
    callback.on_trial_start(0, [], second)
    assert stopper.stop_all()


@pytest.fixture
def lossy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], tuple[TuneCallback, SimpleNamespace]]]:
    """A callback, and a trial of Tune's whose workers end with given words of Ray's; nothing
    waits."""
    monkeypatch.setattr("sweeps.running.tune_callback.time.sleep", lambda seconds: None)
    monkeypatch.setattr(worker_failures, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(StopRequest, "running", set())

    def make(error: str) -> tuple[TuneCallback, SimpleNamespace]:
        (tmp_path / "error.txt").write_text(f"Failure # 1 (occurred at 1)\n{error}\n")
        trial = SimpleNamespace(
            trial_id="t",
            config={"key": "a", "spec": {}},
            error_file=str(tmp_path / "error.txt"),
            last_result={},
            max_failures=-1,
        )
        return make_callback(tmp_path), trial

    yield make
    StopRequest.take()


FAILED = {"status": "failed", "error": "its worker was lost 5 times"}
DIED = "The actor died unexpectedly. Worker exit detail: Worker unexpectedly exits"


def test_the_driver_itself_ends_a_trial_that_it_gives_up(
    lossy: Callable[[str], tuple[TuneCallback, SimpleNamespace]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No worker may live long enough to read the record."""
    callback, trial = lossy(DIED)
    for _ in range(4):
        callback.on_trial_recover(0, [], trial)
        assert trial.max_failures == -1
    assert 0 < trial.config["pause"] <= 0.01
    callback.on_trial_recover(0, [], trial)
    assert trial.max_failures == 0, "Tune starts no further worker after the next"
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "FAILED" in line] == lines[-2:-1]
    check_trouble("a trial's workers die again and again", lines[-2])
    assert "lost 5 times" in (tmp_path / "failures/a.json").read_text()
    # What its last worker does is not told a second time, and wants no further round.
    callback.on_trial_error(0, [], trial)
    callback.on_trial_complete(0, [], SimpleNamespace(**{**vars(trial), "last_result": FAILED}))
    assert capsys.readouterr().out == "" and not callback.dropped


def test_where_every_worker_is_lost_the_study_pauses_and_then_stops(
    lossy: Callable[[str], tuple[TuneCallback, SimpleNamespace]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    callback, trial = lossy(DIED)
    for number in range(ROUNDS):  # each a trial of its own, so that none is given up
        assert not StopRequest.reason
        trial.config["key"] = f"a{number}"
        callback.progress._titles[f"a{number}"] = f"a{number}"
        callback.on_trial_recover(0, [], trial)
    assert StopRequest.reason == (
        f"all workers were lost {ROUNDS} times in a row before any trial got further; the last "
        "time: its worker died (Worker unexpectedly exits)"
    )
    printed = capsys.readouterr().out
    assert printed.count("no worker gets any further: waiting ") == ROUNDS - 1
    check_trouble("every worker dies before any trial", f"{printed}error: {StopRequest.reason}")


def test_a_worker_that_trains_shows_that_the_machine_is_well(
    lossy: Callable[[str], tuple[TuneCallback, SimpleNamespace]],
) -> None:
    callback, trial = lossy(DIED)
    for number in range(3 * ROUNDS):
        trial.config["key"] = f"a{number}"
        callback.progress._titles[f"a{number}"] = f"a{number}"
        callback.on_trial_recover(0, [], trial)
        callback.on_trial_result(0, [], trial, {"start": number, "status": "running"})
    assert not StopRequest.reason


def test_a_folder_that_a_worker_does_not_see_is_an_error_of_the_user(tmp_path: Path) -> None:
    callback = make_callback(tmp_path)
    result = {"status": "store_not_shared", "error": "node x does not see the study directory"}
    trial = SimpleNamespace(trial_id="t", config={"key": "a"}, last_result=result)
    callback.on_trial_complete(0, [], trial)
    with pytest.raises(UserError, match="node x does not see"):
        StopRequest.take()
    assert not StopRequest.reason


def test_weights_that_are_missing_are_no_lost_worker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    callback = make_callback(tmp_path)
    error = "artifacts/d holds no valid weights of epoch 1"
    result = {"status": "dense_weights_missing", "error": error}
    trial = SimpleNamespace(trial_id="t", config={"key": "a"}, last_result=result)
    for _ in range(3):
        callback.failures.got_further()
        callback.on_trial_complete(0, [], trial)
    told = capsys.readouterr().out
    check_trouble("weights of a dense training stay missing", told)
    assert "worker" not in told


def test_a_launch_keeps_an_account_of_its_nodes_and_gives_their_places_back(
    lossy: Callable[[str], tuple[TuneCallback, SimpleNamespace]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unfit = "trainables.node_faults.NodeUnfit: node 3f (10.0.0.7): its GPU cannot be used"
    plan, (_, trial), heard = small_plan(), lossy(unfit), list[str]()
    trial.config["key"] = plan.trials[0].key

    def lose_a_worker(*given: Any, samples: int) -> None:
        (callback,) = (one for one in given if isinstance(one, TuneCallback))
        callback.on_trial_recover(0, [], trial)

    monkeypatch.setattr("sweeps.running.run.run_tuner", lose_a_worker)
    monkeypatch.setattr(UnfitNodes, "add", lambda nodes, error: heard.append(error))
    monkeypatch.setattr(UnfitNodes, "release", lambda nodes: heard.append("released"))
    progress = Progress(dict.fromkeys(plan.by_key, "a"), dict.fromkeys(plan.by_key, 1))
    run_plan(plan, Environment(store=str(tmp_path)), Resources(), progress)
    assert heard == [unfit, "released"]


def test_callbacks_are_not_counted_by_the_function_that_tune_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[object] = []
    usage = tune_run.air_usage
    monkeypatch.setattr(usage, "tag_callbacks", counted.append)
    with uncounted_callbacks():
        usage.tag_callbacks(["callback"])
    assert not counted
    usage.tag_callbacks(["callback"])
    assert counted == [["callback"]]
    assert "air_usage.tag_callbacks(" in inspect.getsource(tune_run.run)
