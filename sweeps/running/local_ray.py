"""Ray as it is started on this machine for one command: on the loopback interface alone, in a
session of its own, and watched.

The command's process group gets the signals of terminals, `timeout`, Slurm and systemd. Were Ray's
daemons in it, they would die first, and with them what the trials still have to checkpoint.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pruning.user_error import UserError
from trainables.safe_output import say_error

GCS_SECONDS = 2.0  # between two looks whether Ray's control process lives
GRACE_SECONDS = 15.0  # that the command may take to end by itself after it has died
GCS_LOST = "Ray's control process on this machine has ended"
# A socket's path has 107 bytes at most, of which Ray takes up to 68:
# /ray/session_<26 characters>_<process>/sockets/plasma_store.
LONGEST_FOLDER = 39
SHARED_MEMORY = "/dev/shm"
STOPPED = 3  # the exit code, as `sweeps.cli.exit_codes` has it


def stay_on_this_machine() -> None:
    """Have Ray's processes listen on the loopback interface alone; Ray names its switch for this
    after the systems on which it is set."""
    from ray._private import ray_constants

    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False


def choose_places() -> dict[str, Any]:
    """Where Ray keeps its sockets and its shared memory: as it is set, except where that cannot
    work. Returns further arguments of `ray.init`.

    Raises:
        UserError: RAY_TMPDIR is no place for sockets.
    """
    if given := os.environ.get("RAY_TMPDIR", ""):
        if not _holds_sockets(given):
            raise UserError(
                f"RAY_TMPDIR must be of plain characters and at most {LONGEST_FOLDER} of them, "
                f"because Ray makes sockets there, but got '{given}'"
            )
    elif not _holds_sockets(os.environ.get("TMPDIR", "")):
        os.environ["RAY_TMPDIR"] = "/tmp"
    if os.path.isdir(SHARED_MEMORY) and not os.access(SHARED_MEMORY, os.W_OK):
        folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
        return {"_plasma_directory": folder}
    return {}


def _holds_sockets(folder: str) -> bool:
    """Whether the names of Ray's sockets in a folder are ones that the system takes."""
    return folder.isascii() and len(folder.rstrip("/")) <= LONGEST_FOLDER


@contextmanager
def daemons_in_own_session() -> Iterator[None]:
    """Processes that Ray starts meanwhile get a session of their own. They end with this process
    all the same, by a signal of the kernel's; and at once, with all that they have started, where
    what is done meanwhile fails."""
    from ray._private import services

    # Private, since Ray has no switch for it; where it is absent they stay in our group.
    kind: Any = getattr(services, "ConsolePopen", None)
    if kind is None:
        yield
        return

    started: list[subprocess.Popen[Any]] = []

    class OwnSession(kind):  # type: ignore[misc]
        def __init__(self, *words: Any, **how: Any) -> None:
            super().__init__(*words, **{**how, "start_new_session": True})
            started.append(self)

    services.ConsolePopen = OwnSession  # type: ignore[misc]
    try:
        yield
    except BaseException:
        end_sessions(started)
        raise
    finally:
        services.ConsolePopen = kind  # type: ignore[misc]


def end_sessions(leaders: Iterable[subprocess.Popen[Any]]) -> None:
    """Kill processes and the groups that they lead."""
    for leader in leaders:
        with suppress(OSError):  # the group has gone already
            os.killpg(leader.pid, signal.SIGKILL)
        leader.kill()
        leader.wait()


def find_session_folder() -> str | None:
    """The folder in which the Ray that was started here keeps its logs and sockets; None where Ray
    does not say."""
    from ray._private import worker

    node: Any = getattr(worker, "_global_node", None)
    return str(node.get_session_dir_path()) if hasattr(node, "get_session_dir_path") else None


@contextmanager
def watch_gcs(lost: Callable[[str], None]) -> Iterator[None]:
    """While this lasts, `lost` is called once, from another thread and with the reason, when the
    control process of the Ray that was started here ends. If this then still lasts for
    `GRACE_SECONDS`, because calls to Ray do not return, the process ends with one line.

    Ray itself would wait for a minute, and then end the process with words of its own.
    """
    from ray._private import worker

    node = getattr(worker, "_global_node", None)
    daemons = getattr(node, "all_processes", {}).get("gcs_server", [])
    if not daemons:
        yield
        return
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(GCS_SECONDS):
            if all(daemon.process.poll() is None for daemon in daemons):
                continue
            if ended.is_set():
                return
            lost(GCS_LOST)
            if not ended.wait(GRACE_SECONDS):
                say_error(f"{GCS_LOST}; run the same command again, which continues")
                os._exit(STOPPED)
            return

    threading.Thread(target=look, daemon=True, name="gcs").start()
    try:
        yield
    finally:
        ended.set()
