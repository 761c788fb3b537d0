"""A bucket as the study directory: the driver is killed in the middle, the study continued, the
rows those of a local run."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweeps.planning.plan import Plan, make_plan
from sweeps.study_file.study import build_study
from tests import s3_server
from tests.chaos.processes import MARK, marked, send
from trainables.environment import Environment
from trainables.storage import parquet_tables, schema
from trainables.storage.store import Store
from trainables.trial import Trial

ROOT = Path(__file__).resolve().parents[2]

STUDY: dict[str, Any] = {
    "name": "bucket",
    "dataset": "digits",
    "model": "mlp",
    "recipe": {"epochs": 3, "batch": 128, "lr": 0.05, "precision": "fp32", "augment": "crop"},
    "retrain": {"epochs": 2},
    "methods": ["magnitude", "synflow", {"lottery_ticket": {"levels": 2, "rewind_to": 1}}],
    "sparsities": [0.9],
    "seeds": [0],
    "checkpoint_seconds": 0,
}


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[s3_server.S3]:
    """A local S3 with an empty bucket, and credentials for it."""
    with s3_server.running() as server:
        server.create_bucket("studies")
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """Starts the command line on a study directory, each in a session of its own that is ended
    after the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(uri: str) -> subprocess.Popen[str]:
        command = [
            *("sh", "-c", f'{MARK}=$$ exec "$@"', "sh"),
            sys.executable,
            str(ROOT / "sweeps/full_study.py"),
            "--study",
            str(tmp_path / "study.yaml"),
        ]
        driver = subprocess.Popen(
            [*command, "--out", uri, "--address", "local"],
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        started.append(driver)
        return driver

    yield begin
    for driver in started:
        end(driver)


def end(driver: subprocess.Popen[str]) -> None:
    """Kill a driver with all that it started, as when its machine is gone."""
    send(marked(str(driver.pid)), signal.SIGKILL)
    driver.wait()


def table(store: Store, name: str, plan: Plan) -> dict[str, list[dict[str, Any]]]:
    """One table of a study, by key, without the columns that say when and where."""
    found = {
        key: parquet_tables.decode_table(name, store.read(f"{name}/{key}.parquet")).to_pylist()
        for key in plan.by_key
    }
    return {
        key: [
            {n: v for n, v in row.items() if n not in schema.CIRCUMSTANCES | {"study"}}
            for row in rows
        ]
        for key, rows in found.items()
    }


def wait_for(condition: Any, seconds: float = 240) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.1)


@pytest.mark.usefixtures("one_worker")
@pytest.mark.slow
def test_a_killed_study_goes_on_in_the_bucket(s3: s3_server.S3, start: Any, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    plan = make_plan(build_study(STUDY, where="test"))
    for trial in plan.trials:
        Trial(trial.spec, Environment(store=str(tmp_path / "local"))).run()
    uri = s3.uri("studies/digits")

    driver = start(uri)
    wait_for(
        lambda: (
            any(name.startswith("digits/rows/") for name in s3.objects("studies"))
            or driver.poll() is not None
        )
    )
    assert driver.poll() is None, driver.communicate()[0]
    end(driver)
    before = [name for name in s3.objects("studies") if name.startswith("digits/rows/")]
    assert 0 < len(before) < len(plan.trials)

    driver = start(uri)
    told, _ = driver.communicate(timeout=400)
    assert driver.returncode == 0, told
    assert told.startswith(f"continuing: {len(before)} of {len(plan.trials)} trials done")
    for name in ("rows", "curves", "layers"):
        assert table(Store.at(uri), name, plan) == table(Store.at(tmp_path / "local"), name, plan)
    assert not [
        name
        for name in s3.objects("studies")
        if name.startswith("digits/checkpoints/") and name.endswith(".pt")
    ]

    again = start(uri)
    told, _ = again.communicate(timeout=120)
    assert again.returncode == 0
    assert told.startswith(f"{len(plan.trials)} of {len(plan.trials)} trials done"), (
        "a finished study starts nothing"
    )
