"""What is recorded of where a result comes from, and the version of the project.

Covers: trainables/provenance.py, trainables/version.py, trainables/environment.py.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from trainables import provenance
from trainables.environment import Environment
from trainables.provenance import git_commit, host_and_process, package_versions, utc_now
from trainables.version import version


def test_versions_name_what_can_change_a_number() -> None:
    assert re.fullmatch(r"python 3\.\S+, torch \S+, ray \S+, numpy \S+", package_versions())
    assert host_and_process().endswith(f":{os.getpid()}")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", utc_now())


def test_the_commit_is_empty_outside_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.fullmatch(r"([0-9a-f]{12}\+?)?", git_commit())

    def fail(*_: object, **__: object) -> None:
        raise subprocess.CalledProcessError(128, "git")

    monkeypatch.setattr(subprocess, "run", fail)
    assert provenance.git_commit.__wrapped__() == ""


def test_the_version_is_that_of_the_checkout() -> None:
    text = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text()
    assert f'\nversion = "{version()}"\n' in text


def test_an_environment_refuses_what_it_does_not_know() -> None:
    assert Environment(store="/x").hardware == "cpu"
    with pytest.raises(ValidationError):
        Environment(store="/x", colour="red")  # type: ignore[call-arg]
