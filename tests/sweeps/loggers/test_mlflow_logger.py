"""The MLflow logger: what is written is read back by MLflow itself."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sweeps.loggers.logged_trial import (
    KEY,
    begin,
    finish,
    launch,
    report,
    rows,
)
from trainables.storage.store import Store


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


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
    with open(tmp_path / "server.txt", "wb") as text:
        running = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words],
            stdout=text,
            stderr=text,
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


def check_mlflow(place: str, store: Store, printed: list[str]) -> None:
    """Two launches, the second from an older checkpoint, and what MLflow holds after each."""
    from mlflow import MlflowClient

    with launch("mlflow", store, printed) as (loggers,):
        begin(loggers)
        report(loggers, 0, rows(1, 3))
    client = MlflowClient(tracking_uri=place)
    experiment = client.get_experiment_by_name("tests")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED" and run.info.run_name == KEY
    with launch("mlflow", store, printed) as (loggers,):
        begin(loggers)
        report(loggers, 0, rows(1, 2))
        finish(store)
        loggers.done(KEY, {})
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in history] == [
        (n, pytest.approx(1 / n)) for n in (1, 2, 3, 4)
    ]
    assert run.data.params["method"] == "synflow" and run.data.params["knobs.iterations"] == "7"
    assert run.data.metrics["final/test_top1"] == 91.5 and run.data.metrics["final/nonzero"] == 1000
    assert printed == [f"logging to mlflow: {place}"] * 2


def test_mlflow_holds_each_epoch_once_over_two_launches(
    store: Store, printed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    check_mlflow(f"sqlite:///{store.uri}/logs/mlflow.db", store, printed)


def test_mlflow_forgets_the_error_of_a_trial_that_is_done_after_all(
    store: Store, printed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client = MlflowClient(tracking_uri=f"sqlite:///{store.uri}/logs/mlflow.db")

    def read() -> Any:
        experiment = client.get_experiment_by_name("tests")
        (run,) = client.search_runs([experiment.experiment_id])
        return run

    with launch("mlflow", store, printed) as (loggers,):
        begin(loggers)
        loggers.failed(KEY, "E: x")
    assert read().info.status == "FAILED" and read().data.tags["error"] == "E: x"
    with launch("mlflow", store, printed) as (loggers,):
        begin(loggers)
        finish(store)
        loggers.done(KEY, {})
    assert (
        read().info.status == "FINISHED" and "error" not in read().data.tags and len(printed) == 2
    )


@pytest.mark.slow  # the server takes up to a minute to start
def test_a_server_of_mlflow_holds_each_epoch_once_over_two_launches(
    server: str, store: Store, printed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    check_mlflow(server, store, printed)


def test_mlflow_without_a_server_is_one_warning(
    store: Store, printed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with launch("mlflow", store, printed) as (loggers,):
        begin(loggers)
        report(loggers, 0, rows(1, 3))
        finish(store)
        loggers.done(KEY, {})
    assert (
        len(printed) == 2
        and printed[1].startswith("warning: --log mlflow: ")
        and not store.list("logged/mlflow")
    )
