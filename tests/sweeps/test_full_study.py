"""Whole studies on Ray, from the command line: killed, continued, extended, with trials that fail.

Covers: sweeps/cli/study_run.py, sweeps/cli/study_launch.py.
"""

import contextlib
import os
import re
import shutil
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
from sweeps.planning.trial_status import read_trial_status
from sweeps.study_file.study import build_study
from tests.chaos.processes import MARK, marked
from trainables.environment import Environment
from trainables.storage import parquet_tables, schema
from trainables.storage.layout import state_key
from trainables.storage.store import Store
from trainables.trial import Trial

ROOT = Path(__file__).resolve().parents[2]

STUDY: dict[str, Any] = {
    "name": "killed",
    "dataset": "digits",
    "model": "resnet8",
    "recipe": {"epochs": 4, "batch": 128, "lr": 0.05, "precision": "fp32", "augment": "crop"},
    "retrain": {"epochs": 2},
    "methods": ["magnitude", {"lottery_ticket": {"levels": 2, "rewind_to": 1}}],
    "sparsities": [0.8],
    "seeds": [0, 1],
    "checkpoint_seconds": 0,
}


def start(folder: Path, *words: str, **env: str) -> subprocess.Popen[str]:
    """Start the command line on `folder`/study.yaml with a Ray cluster of its own; all that it
    starts is marked with its process id."""
    command = [sys.executable, str(ROOT / "sweeps/full_study.py")]
    command += ["--study", str(folder / "study.yaml"), "--out", str(folder / "out")]
    marking = ["sh", "-c", f'{MARK}=$$ exec "$@"', "sh"]
    return subprocess.Popen(
        [*marking, *command, "--address", "local", *words],
        cwd=folder,
        env={**os.environ, **env},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def finish(running: subprocess.Popen[str], seconds: float = 400) -> tuple[int, str]:
    """Wait for the command; its exit code and what it printed."""
    told, _ = running.communicate(timeout=seconds)
    return running.returncode, told


def write(folder: Path, **change: Any) -> Plan:
    raw = {**STUDY, **change}
    (folder / "study.yaml").write_text(yaml.safe_dump(raw))
    return make_plan(build_study(raw, where="test"))


def table(folder: Path, name: str, plan: Plan) -> dict[str, list[dict[str, Any]]]:
    """One table of a study, by key, without the columns that say when and where."""
    store = Store.at(folder)
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


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same study, trial after trial in this process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for trial in write(folder).trials:
        Trial(trial.spec, Environment(store=str(folder / "out"))).run()
    return folder


def wait_for(condition: Any, seconds: float = 400) -> None:
    """Poll until something is true."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def children_of(driver: subprocess.Popen[str], needle: str) -> list[int]:
    """Process ids of what a driver has started whose command line contains a text, Ray's daemons
    with their sessions of their own included."""
    found = marked(str(driver.pid))
    return [process.pid for process in found if needle in process.words]


def a_worker_of(driver: subprocess.Popen[str]) -> int:
    """Process id of a worker that has a trial, as soon as there is one."""
    until = time.monotonic() + 400
    while not (found := children_of(driver, "RayTrial")):
        assert driver.poll() is None and time.monotonic() < until, "no worker came"
        time.sleep(0.05)
    return found[0]


@pytest.fixture
def clean() -> Iterator[list[subprocess.Popen[str]]]:
    """Drivers to end after the test, with all they started."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for driver in started:
        if driver.poll() is None:
            driver.kill()
            driver.wait()
        for pid in children_of(driver, ""):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.usefixtures("one_worker")
@pytest.mark.slow  # on a Ray of its own; the chaos campaign's short form, on a cluster, kills more
def test_a_killed_driver_and_a_killed_worker_leave_the_rows_of_an_undisturbed_run(
    undisturbed: Path, tmp_path: Path, clean: list[subprocess.Popen[str]]
) -> None:
    plan = write(tmp_path)
    store = Store.at(tmp_path / "out")
    clean.append(start(tmp_path))
    wait_for(lambda: store.list("rows", ".parquet"))
    clean[-1].kill()
    clean[-1].wait()

    before = len(read_trial_status(plan, store).done)
    clean.append(start(tmp_path))
    os.kill(a_worker_of(clean[-1]), signal.SIGKILL)
    code, told = finish(clean[-1])
    assert code == 0, told
    # Workers of a killed driver may finish a row they were at before they notice.
    known = re.match(rf"continuing: (\d) of {len(plan.trials)} trials done", told)
    assert known is not None and before <= int(known[1]) < len(plan.trials)
    for name in ("rows", "curves", "layers"):
        assert table(tmp_path / "out", name, plan) == table(undisturbed / "out", name, plan)
    assert store.list("checkpoints") == []
    assert len(store.list("rows")) == len(plan.trials)


@pytest.mark.slow
def test_ctrl_c_checkpoints_and_says_how_to_go_on(
    tmp_path: Path, clean: list[subprocess.Popen[str]]
) -> None:
    """Also while others wait for their workers, which Tune would give them at once."""
    recipe = {**STUDY["recipe"], "epochs": 40}
    plan = write(tmp_path, checkpoint_seconds=3600, recipe=recipe, seeds=[0, 1, 2, 3])
    clean.append(start(tmp_path))
    store = Store.at(tmp_path / "out")

    def list_running() -> set[str]:
        return {state_key(path) for path in store.list("artifacts", ".pt")}

    wait_for(lambda: len(list_running()) == 2)  # a trial may have stored several by then
    running = list_running()
    time.sleep(2)
    clean[-1].send_signal(signal.SIGINT)
    code, told = finish(clean[-1])
    assert code == 130, told
    assert "stopping: running trials checkpoint" in told
    assert f"interrupted: 0 of {len(plan.trials)} trials done; continue with: python " in told
    assert "--study" in told.splitlines()[-1]
    saved = [state_key(path) for path in store.list("checkpoints", ".pt")]
    assert len(running) == 2 and sorted(saved) == sorted(running)
    wait_for(
        lambda: not children_of(clean[-1], "")
    )  # no orphans; Ray takes its time on a busy machine


@pytest.mark.usefixtures("one_worker")
@pytest.mark.slow
def test_failures_are_named_retried_on_request_and_a_study_grows(
    tmp_path: Path, clean: list[subprocess.Popen[str]]
) -> None:
    flag = tmp_path / "fail"
    flag.touch()
    env = {"FAIL_SEED_1": str(flag), "PYTHONPATH": str(ROOT)}
    change: dict[str, Any] = {"model": "tests.flaky_nets:net", "methods": ["magnitude", "random"]}
    plan = write(tmp_path, **change)
    store = Store.at(tmp_path / "out")
    failing = [
        key
        for key, trial in plan.by_key.items()
        if trial.spec.seed == 1 and trial.spec.method != "magnitude"
    ]
    child = next(
        key
        for key, trial in plan.by_key.items()
        if trial.spec.seed == 1 and trial.spec.method == "magnitude"
    )
    dense = plan.by_key[child].parents[0]

    clean.append(start(tmp_path, **env))
    code, told = finish(clean[-1])
    assert code == 1, told
    for key in failing:
        assert f"failed: {key}: RuntimeError: this seed cannot be built" in told
        assert "flaky_nets.py" in store.read(f"failures/{key}.json").decode()
    assert f"not run: {child}, because {dense} failed" in told
    assert "3 of 6 trials done" in told

    # Launched again it starts nothing; with --retry-failed, and a seed more, it runs those three
    # and exactly the trials of that seed.
    clean.append(start(tmp_path, **env))
    code, told = finish(clean[-1])
    assert code == 1
    assert "starting" not in told and "continuing" not in told
    written = {path: (tmp_path / "out" / path).stat().st_mtime_ns for path in store.list("rows")}
    flag.unlink()
    write(tmp_path, **change, seeds=[0, 1, 2])
    clean.append(start(tmp_path, "--retry-failed", **env))
    code, told = finish(clean[-1])
    assert code == 0, told
    assert told.startswith("continuing: 3 of 9 trials done, 6 to run")
    assert store.list("failures") == []
    new = {path.split("/")[-1].partition("-")[0] for path in set(store.list("rows")) - set(written)}
    assert len(store.list("rows")) == 9 and new == {"seed1", "seed2"}
    assert {path: (tmp_path / "out" / path).stat().st_mtime_ns for path in written} == written

    # A finished study starts nothing.
    clean.append(start(tmp_path, **env))
    code, told = finish(clean[-1])
    assert code == 0 and told.startswith("9 of 9 trials done")


@pytest.mark.usefixtures("one_worker")
@pytest.mark.slow
def test_a_crash_in_a_workers_library_is_told_with_its_place(
    tmp_path: Path, clean: list[subprocess.Popen[str]]
) -> None:
    change = {"model": "tests.flaky_nets:crashing", "methods": ["random"], "seeds": [0]}
    write(tmp_path, **change)
    clean.append(start(tmp_path, PYTHONPATH=str(ROOT)))
    assert clean[-1].stdout
    told = ""
    while "will go on: its worker died" not in told:  # for ever: it dies each time
        line = clean[-1].stdout.readline()
        assert line, told
        told += line
    assert re.search(r"worker died \(Segmentation fault in .*flaky_nets.py", line)
    assert "Traceback" not in told


@pytest.mark.usefixtures("one_worker")
@pytest.mark.slow
def test_damaged_rows_and_damaged_dense_weights_are_made_anew_within_one_launch(
    undisturbed: Path, tmp_path: Path, clean: list[subprocess.Popen[str]]
) -> None:
    plan = write(tmp_path)
    shutil.copytree(undisturbed / "out", tmp_path / "out")
    store = Store.at(tmp_path / "out")
    child = next(key for key, trial in plan.by_key.items() if trial.spec.method == "magnitude")
    dense = plan.by_key[child].parents[0]
    other = next(key for key, trial in plan.by_key.items() if trial.spec.method == "lottery_ticket")
    last = store.list(f"artifacts/{dense}")[-1]
    store.write(last, store.read(last)[:-100])
    store.delete(f"rows/{child}.parquet")
    store.write(f"rows/{other}.parquet", b"PAR1")
    clean.append(start(tmp_path))
    code, told = finish(clean[-1])
    assert code == 0, told
    assert f"rows/{other}.parquet is damaged: its trial runs again" in told
    assert f"{child}  will go on: artifacts/{dense} holds no valid weights of epoch 4" in told
    for name in ("rows", "curves", "layers"):
        assert table(tmp_path / "out", name, plan) == table(undisturbed / "out", name, plan)


@pytest.mark.usefixtures("one_worker")
@pytest.mark.slow
def test_a_second_driver_is_refused_and_the_first_is_not_disturbed(
    tmp_path: Path, clean: list[subprocess.Popen[str]]
) -> None:
    write(tmp_path, model="mlp", methods=["random"], seeds=[0])
    clean.append(start(tmp_path))
    store = Store.at(tmp_path / "out")
    wait_for(lambda: store.exists("lease.json"))
    second = start(tmp_path)
    clean.append(second)
    code, told = finish(second)
    assert code == 2 and told.count("\n") == 1, told
    assert f"is already being run by process {clean[0].pid} on" in told
    code, told = finish(clean[0])
    assert code == 0, told
    assert not store.exists("lease.json")
