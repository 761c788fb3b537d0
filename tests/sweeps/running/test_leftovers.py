"""What killed commands leave on a machine is deleted by the next one; nothing else is."""

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from sweeps.running.lease import Lease
from sweeps.running.leftovers import (
    OWNER,
    delete_abandoned,
    marked_session,
    scratch_folder,
)


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))


def test_the_folder_of_a_killed_command_is_deleted_and_that_of_a_running_one_is_not(
    tmp_path: Path,
) -> None:
    code = (
        "import os, sys, tempfile\n"
        "tempfile.gettempdir = lambda: sys.argv[1]\n"
        "from sweeps.running.leftovers import scratch_folder\n"
        "with scratch_folder() as folder:\n"
        "    print(folder, flush=True)\n"
        "    sys.stdin.read() if sys.argv[2] == 'run' else os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    killed = subprocess.run([*command, "die"], capture_output=True, text=True)
    left = Path(killed.stdout.strip())
    assert killed.returncode == -9 and left.is_dir()
    running = subprocess.Popen(
        [*command, "run"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert running.stdout
        other = Path(running.stdout.readline().strip())
        assert not left.exists()
        with scratch_folder() as mine:
            assert other.is_dir() and Path(mine).is_dir()
        assert not Path(mine).exists() and other.is_dir()
    finally:
        running.communicate()
    assert not other.exists()


def test_sessions_of_ray_without_our_mark_or_of_another_machine_stay(tmp_path: Path) -> None:
    for name in ("session_theirs", "session_elsewhere", "session_cut", "session_killed"):
        (tmp_path / name).mkdir()
    gone = replace(Lease.mine(), pid=2**22 - 1, born="1")
    (tmp_path / "session_killed" / OWNER).write_bytes(gone.encode())
    elsewhere = replace(gone, machine="another")
    (tmp_path / "session_elsewhere" / OWNER).write_bytes(elsewhere.encode())
    (tmp_path / "session_cut" / OWNER).write_bytes(gone.encode()[:20])
    with marked_session(str(tmp_path / "session_theirs")):
        assert (tmp_path / "session_theirs" / OWNER).exists()
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {"session_theirs", "session_elsewhere", "session_cut"}
    assert (tmp_path / "session_theirs").is_dir(), "logs of a command that ended can be read"
    assert not (tmp_path / "session_theirs" / OWNER).exists()
    delete_abandoned(tmp_path.glob("session_*"))
    assert (tmp_path / "session_theirs").is_dir()
