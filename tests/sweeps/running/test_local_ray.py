"""Ray on this machine: where it keeps its files, whose session its daemons are in, and how the end
of its control process is noticed. What signals do is in test_out_there.py."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest
from ray._private import services, worker

from pruning.user_error import UserError
from sweeps.running import local_ray
from sweeps.running.local_ray import choose_places, daemons_in_own_session, watch_gcs
from tests.chaos.processes import MARK
from tests.troubles import check_trouble


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_TMPDIR", "TMPDIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "folder", ["/scratch/a-very-long-name/of-a-job/on-a-node-of-a-cluster", "/tmp/ä"]
)
def test_a_temporary_folder_without_room_for_sockets_is_not_used(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", folder)
    choose_places()
    assert os.environ["RAY_TMPDIR"] == "/tmp"
    monkeypatch.setenv("RAY_TMPDIR", folder)
    with pytest.raises(UserError) as caught:
        choose_places()
    check_trouble("TMPDIR is too long for sockets", str(caught.value))


def test_other_folders_stay_as_they_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/scratch")
    assert choose_places() == {} and "RAY_TMPDIR" not in os.environ
    monkeypatch.setenv("RAY_TMPDIR", "/scratch/me/")
    choose_places()
    assert os.environ["RAY_TMPDIR"] == "/scratch/me/"


def test_where_shared_memory_cannot_be_written_its_files_go_to_the_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != "/dev/shm")
    assert choose_places() == {"_plasma_directory": "/tmp"}
    monkeypatch.setenv("RAY_TMPDIR", "/scratch")
    assert choose_places() == {"_plasma_directory": "/scratch"}
    check_trouble("/dev/shm cannot be written", "".join(capfd.readouterr()))


def test_daemons_get_a_session_of_their_own_and_the_name_is_put_back() -> None:
    before = services.ConsolePopen
    code = "import os; print(os.getsid(0) == os.getpid())"
    with daemons_in_own_session():
        daemon = services.ConsolePopen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert daemon.communicate()[0] == b"True\n"
    assert services.ConsolePopen is before


FAILS = """
import os
from ray._private import services
services.RAYLET_EXECUTABLE = "/nothing-here"
from pruning.user_error import UserError
from sweeps.running.cluster import connected
from tests.chaos.processes import marked
try:
    with connected("local"):
        print("started")
except UserError as error:
    print(error)
print([process.words for process in marked(os.environ["CHAOS_CAMPAIGN"])
       if process.pid != os.getpid() and "deadline_process" not in process.words])
"""


def test_a_ray_that_fails_while_it_starts_leaves_no_process_behind() -> None:
    """Its control process runs by then; a notebook would go on beside it."""
    env = {**os.environ, MARK: f"fails-{os.getpid()}"}
    done = subprocess.run([sys.executable, "-c", FAILS], env=env, capture_output=True, text=True)
    reason, left = done.stdout.splitlines()
    assert reason.startswith("cannot start Ray on this machine: ") and "/nothing-here" in reason
    assert left == "[]"


def test_the_end_of_the_control_process_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int | None] = [None]
    process = SimpleNamespace(poll=lambda: ended[0])
    node: Any = SimpleNamespace(all_processes={"gcs_server": [SimpleNamespace(process=process)]})
    monkeypatch.setattr(worker, "_global_node", node)
    monkeypatch.setattr(local_ray, "GCS_SECONDS", 0.01)
    said: list[str] = []
    with watch_gcs(said.append):
        time.sleep(0.05)
        assert not said
        ended[0] = -9
        until = time.monotonic() + 20
        while not said and time.monotonic() < until:
            time.sleep(0.01)
    assert said == ["Ray's control process on this machine has ended"]


def test_a_command_that_does_not_get_out_of_its_calls_is_ended() -> None:
    code = (
        "import time\nfrom types import SimpleNamespace as N\nfrom ray._private import worker\n"
        "from sweeps.running import local_ray\n"
        "worker._global_node = N(all_processes={'gcs_server': [N(process=N(poll=lambda: -9))]})\n"
        "local_ray.GCS_SECONDS = local_ray.GRACE_SECONDS = 0.01\n"
        "with local_ray.watch_gcs(lambda reason: None):\n    time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert done.returncode == 3
    assert done.stderr == (
        "error: Ray's control process on this machine has ended; run the same command again, which "
        "continues\n"
    )
