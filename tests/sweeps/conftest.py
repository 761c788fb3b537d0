"""What tests of malformed requests share: a folder in which nothing may start."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def request_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory of a request; whatever starts a trial or a process in it fails the
    test."""
    started = []

    def launch(*arguments: object) -> None:
        started.append(arguments)
        raise AssertionError("a trial was started")

    def system(command: str) -> int:
        started.append(command)
        raise AssertionError("a process was started")

    import torch._dynamo  # noqa: F401  imported now: torch asks the system for its compilers

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sweeps.cli.study_run.launch_missing_trials", launch)
    monkeypatch.setattr(os, "system", system)
    monkeypatch.setattr(subprocess, "Popen", system)
    yield tmp_path
    assert started == []
