"""Loggers: what is written is read back by the loggers' own means; restarts double nothing, faults
hold up nothing."""

import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pruning.user_error import UserError
from sweeps import full_study
from sweeps.loggers import selection
from sweeps.loggers.epochs import Point, read_points
from sweeps.loggers.log_queue import Loggers
from trainables.storage import parquet_tables
from trainables.storage.store import Store
from trainables.trial_spec import TrialSpec

SPEC = TrialSpec(
    dataset="digits",
    model="resnet8",
    method="synflow",
    knobs={"iterations": 7},
    sparsities=(0.5,),
    seed=3,
)
KEY = SPEC.key
LEVELS = [
    {"level": 1, "stage": "final", "sparsity": 0.5, "test_top1": 91.5, "epochs": 4, "nonzero": 1000}
]


def rows(first: int, last: int) -> list[dict[str, Any]]:
    """Rows of a course with two splits; the loss of an epoch is 1 / its number."""
    where = [
        {"key": KEY, "step": n, "epoch": n, "phase": "train", "lr": 0.1}
        for n in range(first, last + 1)
    ]
    numbers = {"train": 1.0, "validation": 2.0}
    return [
        {**at, "split": split, "loss": by / at["step"], "top1": 50.0 + at["step"]}
        for at in where for split, by in numbers.items()
    ]  # fmt: skip


def points(first: int, last: int) -> list[Point]:
    return read_points(rows(first, last), after=first - 1)


def finish(store: Store, epochs: int = 4) -> None:
    """Put a trial that is done into a study directory."""
    store.write(f"curves/{KEY}.parquet", parquet_tables.encode("curves", rows(1, epochs)))
    store.write(f"rows/{KEY}.parquet", parquet_tables.encode("rows", [{"key": KEY, **LEVELS[0]}]))


def test_points_count_epochs_through_all_trainings_of_a_trial() -> None:
    told = rows(1, 2) + [{**row, "epoch": 1, "step": 9} for row in rows(1, 1)]
    found = read_points(told)
    assert [point.epoch for point in found] == [1, 2, 3]
    assert found[1].numbers == {
        "train/loss": 0.5, "train/top1": 52.0, "validation/loss": 1.0, "validation/top1": 52.0, "lr": 0.1
    }  # fmt: skip


class Memory:
    """A sink that keeps what it is told, and fails while it is asked to."""

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

    def log(self, key: str, points: list[Point]) -> None:
        if self.failing:
            raise ConnectionError("gone\x1b[31m")
        self.steps += [point.epoch for point in points]

    def end(self, key: str, levels: list[dict[str, Any]], *, error: str) -> None:
        self.ended.append((len(levels), error))

    def leave(self, key: str) -> None:
        self.left += 1


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path / "study")


def begin(loggers: Loggers) -> None:
    loggers.started(KEY, SPEC.model_dump(mode="json"))


def move(loggers: Loggers, start: int, told: list[dict[str, Any]]) -> None:
    loggers.moved(KEY, {"curve_from": start, "curve": told})


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


def test_a_trial_that_goes_on_from_an_older_checkpoint_logs_no_epoch_twice(
    store: Store, said: list[str]
) -> None:
    memory = Memory()
    loggers = Loggers([memory], store, say=said.append)
    begin(loggers)
    move(loggers, 0, rows(1, 2))
    move(loggers, 4, rows(3, 3))
    loggers.left(KEY)  # its worker is lost; another one goes on from the checkpoint of epoch 1
    begin(loggers)
    move(loggers, 0, rows(1, 1))
    move(loggers, 2, rows(2, 3))
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
    assert said == []


def test_a_later_launch_logs_what_an_earlier_one_did_not(store: Store, said: list[str]) -> None:
    memory = Memory()
    first = Loggers([memory], store, say=said.append)
    begin(first)
    move(first, 0, rows(1, 3))
    first.close()
    assert memory.steps == [1, 2, 3] and memory.left == 1 and not store.list("logged")
    finish(store)  # the worker outlived the driver
    for expected in (2, 2):  # the third launch has nothing to do
        later = Loggers([memory], store, say=said.append)
        later.fill({KEY: SPEC}, [KEY])
        later.close()
        assert (
            memory.steps == [1, 2, 3, 4] and memory.begun == expected and memory.ended == [(1, "")]
        )


def test_a_logger_that_fails_is_one_warning_and_catches_up(
    store: Store, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.loggers.log_queue.PAUSE", 0.0)
    memory, other = Memory(), Memory()
    other.name = "other"
    memory.failing = True
    loggers = Loggers([memory, other], store, say=said.append)
    begin(loggers)
    move(loggers, 0, rows(1, 1))
    move(loggers, 2, rows(2, 2))
    wait_for(lambda: len(other.steps) == 2)
    memory.failing = False
    finish(store)
    loggers.done(KEY, {})
    loggers.close()
    assert memory.steps == other.steps == [1, 2, 3, 4]
    assert said == ["warning: --log memory: SystemExit: gone; the study goes on without it"]


def test_a_logger_that_hangs_does_not_hold_up_the_end(
    store: Store, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.loggers.log_queue.PATIENCE", 0.2)
    memory = Memory()
    memory.wait.clear()
    loggers = Loggers([memory], store, say=said.append)
    begin(loggers)
    loggers.close()
    assert len(said) == 1 and "too slow" in said[0]
    memory.wait.set()


def test_a_failed_trial_ends_its_run_and_is_not_taken_for_logged(
    store: Store, said: list[str]
) -> None:
    memory = Memory()
    loggers = Loggers([memory], store, say=said.append)
    begin(loggers)
    move(loggers, 0, rows(1, 1))
    loggers.failed(KEY, "E: x")
    loggers.close()
    assert memory.ended == [(0, "E: x")] and memory.left == 0 and not store.list("logged")


@pytest.mark.parametrize("waits", [True, False])
def test_a_trial_that_is_logged_and_runs_again_is_logged_to_its_end_again(
    waits: bool, store: Store, said: list[str]
) -> None:
    memory = Memory()
    loggers = Loggers([memory], store, say=said.append)
    if not waits:
        memory.wait.clear()
        loggers.started(
            "other", SPEC.model_dump(mode="json")
        )  # the thread hangs here while the rest queues up
    finish(store)
    loggers.fill({KEY: SPEC}, [KEY])
    if waits:
        wait_for(lambda: store.exists(f"logged/memory/{KEY}.json"))
    begin(loggers)  # the weights that it made for others are lost
    memory.wait.set()
    wait_for(lambda: memory.begun == 2)
    move(loggers, 0, rows(1, 2))
    loggers.done(KEY, {})
    loggers.close()
    assert memory.ended[-1] == (1, "") and len(memory.ended) == 1 + waits and said == []
    assert store.exists(f"logged/memory/{KEY}.json")


def test_rows_of_another_trial_are_not_logged(store: Store, said: list[str]) -> None:
    finish(store)
    store.write(
        f"rows/{KEY}.parquet", parquet_tables.encode("rows", [{"key": "other", **LEVELS[0]}])
    )
    memory = Memory()
    loggers = Loggers([memory], store, say=said.append)
    loggers.fill({KEY: SPEC}, [KEY])
    loggers.close()
    assert (
        not memory.ended
        and "it is of another trial than its name says; the study goes on" in said[0]
    )


def test_a_trial_that_fails_twice_alike_ends_twice(store: Store, said: list[str]) -> None:
    memory = Memory()
    loggers = Loggers([memory], store, say=said.append)
    for times in (1, 2):
        begin(loggers)
        loggers.failed(KEY, "E: x")
        wait_for(lambda times=times: len(memory.ended) == times)  # type: ignore[misc]
    loggers.close()
    assert memory.ended == [(0, "E: x")] * 2 and said == []


# The loggers themselves


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """An MLflow server with a database of its own."""
    pytest.importorskip("mlflow.server", reason="needs the whole of mlflow")
    port = free_port()
    words = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += [
        "--backend-store-uri",
        f"sqlite:///{tmp_path / 'm.db'}",
        "--artifacts-destination",
        str(tmp_path / "art"),
    ]
    with open(tmp_path / "server.txt", "wb") as told:
        running = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words],
            stdout=told,
            stderr=told,
            start_new_session=True,
            cwd=tmp_path,
        )
    try:
        until = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert running.poll() is None and time.monotonic() < until, (
                    tmp_path / "server.txt"
                ).read_text()
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(running.pid, 15)
        running.wait(30)


def launch(name: str, store: Store, said: list[str]) -> Any:
    return selection.logging_to(name, "tests", store, say=said.append)


def check_mlflow(place: str, store: Store, said: list[str]) -> None:
    """Two launches, the second from an older checkpoint, and what MLflow holds after each."""
    from mlflow import MlflowClient

    with launch("mlflow", store, said) as (loggers,):
        begin(loggers)
        move(loggers, 0, rows(1, 3))
    client = MlflowClient(tracking_uri=place)
    experiment = client.get_experiment_by_name("tests")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED" and run.info.run_name == KEY
    with launch("mlflow", store, said) as (loggers,):
        begin(loggers)
        move(loggers, 0, rows(1, 2))
        finish(store)
        loggers.done(KEY, {})
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(one.step, one.value) for one in history] == [
        (n, pytest.approx(1 / n)) for n in (1, 2, 3, 4)
    ]
    assert run.data.params["method"] == "synflow" and run.data.params["knobs.iterations"] == "7"
    assert run.data.metrics["final/test_top1"] == 91.5 and run.data.metrics["final/nonzero"] == 1000
    assert said == [f"logging to mlflow: {place}"] * 2


def test_mlflow_holds_each_epoch_once_over_two_launches(
    store: Store, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    check_mlflow(f"sqlite:///{store.uri}/logs/mlflow.db", store, said)


def test_mlflow_forgets_the_error_of_a_trial_that_is_done_after_all(
    store: Store, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client = MlflowClient(tracking_uri=f"sqlite:///{store.uri}/logs/mlflow.db")

    def read() -> Any:
        experiment = client.get_experiment_by_name("tests")
        (run,) = client.search_runs([experiment.experiment_id])
        return run

    with launch("mlflow", store, said) as (loggers,):
        begin(loggers)
        loggers.failed(KEY, "E: x")
    assert read().info.status == "FAILED" and read().data.tags["error"] == "E: x"
    with launch("mlflow", store, said) as (loggers,):
        begin(loggers)
        finish(store)
        loggers.done(KEY, {})
    assert read().info.status == "FINISHED" and "error" not in read().data.tags and len(said) == 2


@pytest.mark.slow  # the server takes up to a minute to start
def test_a_server_of_mlflow_holds_each_epoch_once_over_two_launches(
    server: str, store: Store, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    check_mlflow(server, store, said)


def test_mlflow_without_a_server_is_one_warning(
    store: Store, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with launch("mlflow", store, said) as (loggers,):
        begin(loggers)
        move(loggers, 0, rows(1, 3))
        finish(store)
        loggers.done(KEY, {})
    assert (
        len(said) == 2
        and said[1].startswith("warning: --log mlflow: ")
        and not store.list("logged/mlflow")
    )


def test_tensorboard_reads_each_epoch_once_over_two_launches(store: Store, said: list[str]) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with launch("tensorboard", store, said) as (loggers,):
        begin(loggers)
        move(loggers, 0, rows(1, 3))
    with launch("tensorboard", store, said) as (loggers,):
        begin(loggers)
        move(loggers, 0, rows(1, 2))
        finish(store)
        loggers.done(KEY, {})
    events = accumulator.EventAccumulator(str(Path(store.uri, "logs/tensorboard", KEY)))
    events.Reload()
    told = [(one.step, one.value) for one in events.Scalars("train/loss")]
    assert told == [(n, pytest.approx(1 / n)) for n in (1, 2, 3, 4)]
    assert [one.step for one in events.Scalars("validation/top1")] == [1, 2, 3, 4]
    assert [(one.step, one.value) for one in events.Scalars("final/test_top1")] == [(1, 91.5)]
    assert events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    assert len(said) == 2


def test_tensorboard_holds_all_of_a_trial_that_runs_again_after_it_was_logged(
    store: Store, said: list[str]
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = Path(store.uri, "logs/tensorboard", KEY)
    finish(store)
    with launch("tensorboard", store, said) as (loggers,):
        loggers.fill({KEY: SPEC}, [KEY])
        wait_for(lambda: store.exists(f"logged/tensorboard/{KEY}.json"))
        (old,) = folder.iterdir()
        begin(loggers)
        wait_for(lambda: not old.exists())
        move(loggers, 0, rows(1, 4))
        loggers.done(KEY, {})
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    assert [one.step for one in events.Scalars("train/loss")] == [1, 2, 3, 4]
    assert [(one.step, one.value) for one in events.Scalars("final/test_top1")] == [(1, 91.5)]
    assert events.PluginTagToContent("hparams")["_hparams_/session_start_info"]


def read_wandb(path: Path) -> list[dict[str, Any]]:
    """The history of an offline run, from its file: a header of 7 bytes, then the log format of
    LevelDB."""
    from wandb.proto import wandb_internal_pb2

    content, at, data, found = path.read_bytes(), 7, b"", []
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:  # the rest of a block that holds no header
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        data += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            one = wandb_internal_pb2.Record()
            one.ParseFromString(data)
            data = b""
            if one.WhichOneof("record_type") == "history":
                items = one.history.item
                found.append(
                    {
                        item.key or "/".join(item.nested_key): json.loads(item.value_json)
                        for item in items
                    }
                )
    return found


def test_wandb_offline_holds_each_epoch_once_over_two_launches(
    store: Store, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with launch("wandb", store, said) as (loggers,):
        begin(loggers)
        move(loggers, 0, rows(1, 3))
    with launch("wandb", store, said) as (loggers,):
        begin(loggers)
        move(loggers, 0, rows(1, 2))
        finish(store)
        loggers.done(KEY, {})
    (run,) = Path(store.uri, "logs/wandb").glob("offline-run-*/run-*.wandb")
    told = read_wandb(run)
    epochs = [row for row in told if "train/loss" in row]
    assert [(row["_step"], row["epoch"], row["train/loss"]) for row in epochs] == [
        (n, n, pytest.approx(1 / n)) for n in (1, 2, 3, 4)
    ]
    assert [row["final/test_top1"] for row in told if "final/test_top1" in row] == [91.5]
    assert len(said) == 2


def test_wandb_forgets_the_error_of_a_trial_that_is_done_after_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    from sweeps.loggers import wandb_logger

    monkeypatch.setenv("WANDB_MODE", "offline")
    one = wandb_logger.open_sink("tests", "identity", Path(store.uri))
    one.begin(KEY, {})
    run = one._runs[KEY]
    run.summary["error"] = "E: x"  # as a server hands it out with a run that is resumed
    finished: list[list[str]] = []
    monkeypatch.setattr(run, "finish", lambda exit_code: finished.append(list(run.summary.keys())))
    one.end(KEY, LEVELS, error="")
    type(run).finish(run)
    assert len(finished) == 1 and "error" not in finished[0]


# What the command line says


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("tensorbord", "--log: no logger 'tensorbord'; did you mean 'tensorboard'?"),
        (",", "--log takes names separated by commas: tensorboard, mlflow, wandb"),
    ],
)
def test_a_name_that_there_is_not_is_one_line(
    text: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert full_study.main(["--preset", "digits", "--log", text, "--dry-run"]) == 2
    assert capsys.readouterr().err == f"error: {line}\n"


@pytest.mark.parametrize("name", selection.PACKAGES)
def test_a_missing_package_is_one_line_with_the_command_before_anything_starts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(selection, "find_spec", lambda module: None)
    assert (
        full_study.main(["--preset", "digits", "--log", name, "--out", str(tmp_path / "out")]) == 2
    )
    told = capsys.readouterr().err
    assert told.startswith(
        f"error: --log {name} needs a package that is not installed: pip install '{name}"
    )
    assert told.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_package_that_is_there_by_half_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sweeps.loggers.tensorboard_logger", None)
    with pytest.raises(
        UserError,
        match="--log tensorboard: .*; pip install --upgrade 'tensorboard.*', or leave it out",
    ):
        selection.check_loggers("tensorboard")


def test_wandb_asks_nobody_for_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(wandb, "login", lambda *, prompt: False)
    with pytest.raises(
        UserError, match="nobody is logged in here: run `wandb login`, or set WANDB_MODE=offline"
    ):
        selection.check_loggers("wandb")
