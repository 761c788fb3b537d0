"""The queue between a run and its loggers: restarts double nothing, faults hold up nothing.

Covers: sweeps/loggers/log_queue.py, sweeps/loggers/delivery.py, sweeps/loggers/base.py,
sweeps/loggers/logged_numbers.py.
"""

import json
import threading
from typing import Any

import pytest

from sweeps.loggers.log_queue import LogQueue
from sweeps.loggers.logged_numbers import EpochNumbers, numbers_by_epoch
from tests.sweeps.loggers.logged_trial import (
    KEY,
    LEVELS,
    SPEC,
    begin,
    finish,
    report,
    rows,
    wait_for,
)
from trainables.storage import parquet_tables
from trainables.storage.store import Store


def test_points_count_epochs_through_all_trainings_of_a_trial() -> None:
    curves = rows(1, 2) + [{**row, "epoch": 1, "step": 9} for row in rows(1, 1)]
    found = numbers_by_epoch(curves)
    assert [point.epoch for point in found] == [1, 2, 3]
    assert found[1].numbers == {
        "train/loss": 0.5,
        "train/top1": 52.0,
        "validation/loss": 1.0,
        "validation/top1": 52.0,
        "lr": 0.1,
    }


class Memory:
    """A logger that keeps what it is given, and fails while `failing` is set."""

    name, place = "memory", "here"

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.params: dict[str, str] = {}
        self.ended: list[tuple[int, str]] = []
        self.begun = self.left = 0
        self.failing = False
        self.wait = threading.Event()
        self.wait.set()

    def begin(self, key: str, params: dict[str, str]) -> int:
        self.wait.wait()
        if self.failing:
            raise SystemExit("gone")
        self.begun += 1
        self.params = params
        return len(self.steps)

    def log(self, key: str, points: list[EpochNumbers]) -> None:
        if self.failing:
            raise ConnectionError("gone\x1b[31m")
        self.steps += [point.epoch for point in points]

    def end(self, key: str, levels: list[dict[str, Any]], *, error: str) -> None:
        self.ended.append((len(levels), error))

    def interrupt(self, key: str) -> None:
        self.left += 1


def test_a_trial_that_goes_on_from_an_older_checkpoint_logs_no_epoch_twice(
    store: Store, printed: list[str]
) -> None:
    memory = Memory()
    loggers = LogQueue([memory], store, say=printed.append)
    begin(loggers)
    report(loggers, 0, rows(1, 2))
    report(loggers, 4, rows(3, 3))
    loggers.interrupted(
        KEY
    )  # its worker is lost; another one goes on from the checkpoint of epoch 1
    begin(loggers)
    report(loggers, 0, rows(1, 1))
    report(loggers, 2, rows(2, 3))
    finish(store)
    loggers.done(KEY, {})
    loggers.close()
    assert memory.steps == [1, 2, 3, 4] and memory.begun == 1 and memory.ended == [(1, "")]
    assert memory.params["knobs.iterations"] == "7" and memory.params["sparsity"] == "0.5"
    assert (
        memory.params["method"] == "synflow"
        and memory.params["seed"] == "3"
        and memory.params["model"] == "resnet8"
    )
    assert json.loads(store.read(f"logged/memory/{KEY}.json")) == {"epochs": 4, "at": "here"}
    assert printed == []


def test_a_later_launch_logs_what_an_earlier_one_did_not(store: Store, printed: list[str]) -> None:
    memory = Memory()
    first = LogQueue([memory], store, say=printed.append)
    begin(first)
    report(first, 0, rows(1, 3))
    first.close()
    assert memory.steps == [1, 2, 3] and memory.left == 1 and not store.list("logged")
    finish(store)  # the worker outlived the driver
    for expected in (2, 2):  # the third launch has nothing to do
        later = LogQueue([memory], store, say=printed.append)
        later.log_finished_trials({KEY: SPEC}, [KEY])
        later.close()
        assert (
            memory.steps == [1, 2, 3, 4] and memory.begun == expected and memory.ended == [(1, "")]
        )


def test_a_logger_that_fails_is_one_warning_and_catches_up(
    store: Store, printed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.loggers.delivery.PAUSE", 0.0)
    memory, other = Memory(), Memory()
    other.name = "other"
    memory.failing = True
    loggers = LogQueue([memory, other], store, say=printed.append)
    begin(loggers)
    report(loggers, 0, rows(1, 1))
    report(loggers, 2, rows(2, 2))
    wait_for(lambda: len(other.steps) == 2)
    memory.failing = False
    finish(store)
    loggers.done(KEY, {})
    loggers.close()
    assert memory.steps == other.steps == [1, 2, 3, 4]
    assert printed == ["warning: --log memory: SystemExit: gone; the study goes on without it"]


def test_a_logger_that_hangs_does_not_hold_up_the_end(
    store: Store, printed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.loggers.log_queue.PATIENCE", 0.2)
    memory = Memory()
    memory.wait.clear()
    loggers = LogQueue([memory], store, say=printed.append)
    begin(loggers)
    loggers.close()
    assert len(printed) == 1 and "too slow" in printed[0]
    memory.wait.set()


def test_a_failed_trial_ends_its_run_and_is_not_taken_for_logged(
    store: Store, printed: list[str]
) -> None:
    memory = Memory()
    loggers = LogQueue([memory], store, say=printed.append)
    begin(loggers)
    report(loggers, 0, rows(1, 1))
    loggers.failed(KEY, "E: x")
    loggers.close()
    assert memory.ended == [(0, "E: x")] and memory.left == 0 and not store.list("logged")


@pytest.mark.parametrize("waits", [True, False])
def test_a_trial_that_is_logged_and_runs_again_is_logged_to_its_end_again(
    waits: bool, store: Store, printed: list[str]
) -> None:
    memory = Memory()
    loggers = LogQueue([memory], store, say=printed.append)
    if not waits:
        memory.wait.clear()
        loggers.started(
            "other", SPEC.model_dump(mode="json")
        )  # the thread hangs here while the rest queues up
    finish(store)
    loggers.log_finished_trials({KEY: SPEC}, [KEY])
    if waits:
        wait_for(lambda: store.exists(f"logged/memory/{KEY}.json"))
    begin(loggers)  # the weights that it made for others are lost
    memory.wait.set()
    wait_for(lambda: memory.begun == 2)
    report(loggers, 0, rows(1, 2))
    loggers.done(KEY, {})
    loggers.close()
    assert memory.ended[-1] == (1, "") and len(memory.ended) == 1 + waits and printed == []
    assert store.exists(f"logged/memory/{KEY}.json")


def test_rows_of_another_trial_are_not_logged(store: Store, printed: list[str]) -> None:
    finish(store)
    store.write(
        f"rows/{KEY}.parquet", parquet_tables.encode_table("rows", [{"key": "other", **LEVELS[0]}])
    )
    memory = Memory()
    loggers = LogQueue([memory], store, say=printed.append)
    loggers.log_finished_trials({KEY: SPEC}, [KEY])
    loggers.close()
    assert (
        not memory.ended
        and "it is of another trial than its name says; the study goes on" in printed[0]
    )


def test_a_trial_that_fails_twice_alike_ends_twice(store: Store, printed: list[str]) -> None:
    memory = Memory()
    loggers = LogQueue([memory], store, say=printed.append)
    for times in (1, 2):
        begin(loggers)
        loggers.failed(KEY, "E: x")
        wait_for(lambda times=times: len(memory.ended) == times)  # type: ignore[misc]
    loggers.close()
    assert memory.ended == [(0, "E: x")] * 2 and printed == []
