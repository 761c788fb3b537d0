"""The processes of one campaign, found by a mark in their environment, so that nobody else's are
ever touched."""

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "CHAOS_CAMPAIGN"


@dataclass(frozen=True)
class Process:
    """A running process: its id, its parent's, and its command line."""

    pid: int
    parent: int
    words: str

    @property
    def is_trial(self) -> bool:
        """Whether it is a worker of Ray that runs trials: Ray names it after the class, or Tune's
        wrapper of it."""
        return self.words.startswith(("ray::RayTrial", "ray::ResourceTrainable"))

    @property
    def is_raylet(self) -> bool:
        """Whether it is the process that makes a node of a Ray cluster."""
        return self.words.split(" ")[0].endswith("/raylet")


def marked(mark: str) -> list[Process]:
    """All processes of a campaign, by id; those that have ended and only wait for their parent do
    not count."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError, ValueError, IndexError):
            if wanted not in (folder / "environ").read_bytes().split(b"\0"):
                continue
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            words = (
                (folder / "cmdline")
                .read_bytes()
                .replace(b"\0", b" ")
                .decode(errors="replace")
                .strip()
            )
            if state not in ("Z", "X"):
                found.append(Process(int(folder.name), int(parent), words))
    return sorted(found, key=lambda process: process.pid)


def below(processes: Iterable[Process], top: int) -> list[Process]:
    """A process and all its descendants, parents first."""
    listed = list(processes)
    family = [process for process in listed if process.pid == top]
    for process in family:
        family += [child for child in listed if child.parent == process.pid and child not in family]
    return family


def send(processes: Iterable[Process], number: signal.Signals) -> None:
    """Send a signal to processes; those that are gone are passed over."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def end(mark: str, *, spare: Iterable[int] = (), seconds: float = 20) -> list[Process]:
    """Kill all processes of a campaign but the spared, and those they start meanwhile; returns what
    would not die."""
    kept = {os.getpid(), *spare}
    until = time.monotonic() + seconds
    while left := [process for process in marked(mark) if process.pid not in kept]:
        if time.monotonic() > until:
            return left
        send(left, signal.SIGKILL)
        time.sleep(0.05)
    return []
