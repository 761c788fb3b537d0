"""What the tests of the latency pass share, and those of the command as a real process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeps.planning.plan import make_plan
from tests.chaos.processes import MARK, marked, send
from tests.sweeps.running.command_process import ROOT, Start
from tests.sweeps.running.timed_study import Study, build
from trainables.environment import Environment
from trainables.storage.store import Store
from trainables.trial import Trial


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study directory of `STUDY`, every trial done."""
    folder = tmp_path_factory.mktemp("study")
    for trial in make_plan(build()).trials:
        Trial(trial.spec, Environment(store=str(folder))).run()
    return folder


@pytest.fixture
def timed(finished: Path) -> Iterator[Study]:
    """The finished study without latencies."""
    yield Study(finished, build())
    Store.at(finished).delete("latency")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the command in a folder, in a session of its own; ends it and all that it has started
    after the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(
        *words: str, shell: str = 'exec "$@"', stdout: Any = subprocess.PIPE, **env: str
    ) -> subprocess.Popen[str]:
        command = [sys.executable, str(ROOT / "sweeps/full_study.py"), "--study", "study.yaml"]
        command += ["--out", "out", *([] if "--address" in words else ["--address", "local"])]
        running = subprocess.Popen(
            ["bash", "-c", f"export {MARK}=$$; {shell}", "bash", *command, *words],
            cwd=tmp_path,
            env={**os.environ, **env},
            text=True,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        started.append(running)
        return running

    yield begin
    for running in started:
        send(marked(str(running.pid)), signal.SIGKILL)
        running.wait()
        if running.stdout:
            running.stdout.close()
