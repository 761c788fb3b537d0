"""The chaos campaign: in short, with every kind of fault, and killed itself."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.faults import KINDS, MOUNTED
from tests.chaos.undisturbed import ROOT

COMMAND = [sys.executable, str(ROOT / "tests/chaos/campaign.py")]


def run(*words: str) -> tuple[int, str]:
    """A campaign's exit code and what it printed."""
    done = subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, start_new_session=True
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.campaign
@pytest.mark.slow
def test_a_study_survives_the_death_of_everything_once() -> None:
    """Run for every change by .ci/run."""
    kinds = "trial killed,trial terminated,checkpoint damaged,node killed,driver killed"
    code, told = run(
        "--faults", "5", "--stores", "local", "--kinds", kinds, "--epochs", "6", "--seeds", "1"
    )
    assert code == 0, told
    for kind in kinds.split(","):
        assert f"| {kind} " in told, told
    assert "ALL HOLDS (seed 0" in told


@pytest.mark.campaign
@pytest.mark.slow
def test_a_study_survives_what_terminals_network_disks_and_full_memories_do() -> None:
    kinds = (
        "group terminated,terminal closed,output closed,listing lags,folder not shared,"
        "out of memory"
    )
    code, told = run(
        "--faults", "6", "--stores", "local", "--kinds", kinds, "--epochs", "8", "--seeds", "1"
    )
    assert code == 0, told
    for kind in kinds.split(","):
        mounted = kind in MOUNTED
        assert f"| {kind} " in told or (mounted and "are left out" in told), told


@pytest.mark.campaign
@pytest.mark.slow
def test_a_study_survives_every_kind_of_fault_in_a_folder_and_in_a_bucket() -> None:
    code, told = run("--faults", "20", "--seed", "1", "--epochs", "12")
    assert code == 0, told
    for kind in KINDS:
        mounted = kind in MOUNTED
        assert f"| {kind} " in told or (mounted and "are left out" in told), told


@pytest.mark.slow
def test_a_campaign_that_is_killed_leaves_nothing_behind() -> None:
    started = subprocess.Popen(
        [*COMMAND, "--faults", "9"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert started.stdout
    folder = Path(started.stdout.readline().split(" in ")[-1].strip())
    try:
        _wait(lambda: "driver1.log" in {path.name for path in (folder / "local").glob("*")})
        assert _mounts(folder) or os.geteuid()
        started.kill()
        started.wait()
        _wait(lambda: not _users(folder) and not _mounts(folder))
    finally:
        started.kill()
        started.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(condition: Callable[[], Any]) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.1)


def _users(folder: Path) -> list[str]:
    """Processes of the campaign in a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if f"RAY_TMPDIR={folder}".encode() in (place / "environ").read_bytes().split(b"\0"):
                found.append((place / "cmdline").read_text())
        except OSError:
            continue
    return found


def _mounts(folder: Path) -> list[str]:
    return [
        line for line in Path("/proc/self/mounts").read_text().splitlines() if f" {folder}/" in line
    ]
