"""What `--watch` shows of a run and keeps current: the live view on a terminal, and the report."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.running.snapshot import Look
from sweeps.study_file.study import Resources
from trainables.storage.store import Store

if TYPE_CHECKING:
    from sweeps.live_view.terminal_view import Live

ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS = 60  # between two looks of the report at the study directory
LONGEST = 600  # seconds for the last report

# The child ends when its standard input does, so with the driver, however that ends; it takes what
# the trials leave.
CHILD = """
import os, runpy, sys, threading
if hasattr(os, "nice"):
    os.nice(19)
threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
runpy.run_module("analysis", run_name="__main__")
"""


def is_drawable() -> bool:
    """Whether stdout is a terminal that can be drawn on."""
    return sys.stdout.isatty() and os.environ.get("TERM", "").lower() not in ("", "dumb", "unknown")


@contextmanager
def view(
    title: str,
    store: Store,
    resources: Resources,
    *,
    look: Callable[[], Look],
    name: Callable[[str, dict[str, Any]], str],
    total: Callable[[str], int] = lambda key: 0,
) -> "Iterator[Live | None]":
    """Keep the report current and show the run live; yields None where stdout is no terminal to
    draw on.

    Args:
        title, look, name, total: see `Live`.
        resources: of a trial.
    """
    from sweeps.running.cluster import find_dashboard, find_slots

    with reporting(store):
        if not is_drawable():
            yield None
            return
        from sweeps.live_view.terminal_view import Live

        footer = [f"report, made anew every {SECONDS} s: {store.place('report/report.html')}"]
        if dashboard := find_dashboard():
            footer.append(f"Ray's dashboard: {dashboard}")
        footer.append("Ctrl-C stops: trials checkpoint, and the same command goes on")
        slots = lambda: find_slots(resources)  # noqa: E731
        with Live(title, look=look, name=name, slots=slots, total=total, footer=footer) as live:
            yield live


@contextmanager
def reporting(store: Store) -> Iterator[None]:
    """Keep the report of a running study current, from a process that no fault of can reach the
    study."""
    words = [sys.executable, "-c", CHILD, store.uri, "--watch", str(SECONDS)]
    silent = subprocess.DEVNULL
    try:
        # A group of its own: Ctrl-C is for the study.
        child = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=silent,
            stderr=silent,
            env=_environment(),
            start_new_session=True,
        )
    except OSError as error:
        print(f"warning: the report is not kept current: {error}", flush=True)
        yield
        return
    try:
        yield
    finally:
        child.kill()
        child.wait()
        if child.stdin:
            child.stdin.close()


def write_report(store: Store) -> None:
    """Make the report of what there is now; a fault of it is one line."""
    words = [sys.executable, "-m", "analysis", store.uri]
    try:
        made = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_environment(),
            timeout=LONGEST,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"warning: the report was not made: {error}", flush=True)
        return
    if made.returncode:
        reason = (made.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"warning: the report was not made: {reason}", flush=True)
    else:
        print(f"report: {store.place('report/report.html')}", flush=True)


def _environment() -> dict[str, str]:
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
