"""The two parts of `--watch`: the live view on a terminal, and the report that is kept current."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sweeps.running.python_path import make_python_path
from sweeps.running.snapshot import Snapshot
from sweeps.study_file.study_fields import Resources
from trainables.storage import layout
from trainables.storage.store import Store

if TYPE_CHECKING:
    from sweeps.live_view.terminal_view import TerminalView

REPORT_MODULE = "sweeps.live_view.report_process"
SECONDS = 60  # between two times that the report is made anew
LAST_REPORT_SECONDS = 600  # that the last report may take
REPORT = f"{layout.REPORT}/report.html"


def is_drawable() -> bool:
    """Whether stdout is a terminal that can be drawn on."""
    return sys.stdout.isatty() and os.environ.get("TERM", "").lower() not in ("", "dumb", "unknown")


@contextmanager
def watch_run(
    title: str,
    store: Store,
    resources: Resources,
    *,
    snapshot: Callable[[], Snapshot],
    name: Callable[[str, dict[str, Any]], str],
    total: Callable[[str], int] = lambda key: 0,
) -> "Iterator[TerminalView | None]":
    """Keep the report current and show the run live; yields None where stdout is no terminal to
    draw on.

    Args:
        title, snapshot, name, total: see `TerminalView`.
        resources: of a trial.
    """
    from sweeps.running.cluster import find_dashboard, find_slots

    with keep_report_current(store):
        if not is_drawable():
            yield None
            return
        from sweeps.live_view.terminal_view import TerminalView

        footer = [f"report, made anew every {SECONDS} s: {store.place(REPORT)}"]
        if dashboard := find_dashboard():
            footer.append(f"Ray's dashboard: {dashboard}")
        footer.append("Ctrl-C stops: trials checkpoint, and the same command goes on")
        with TerminalView(
            title,
            snapshot=snapshot,
            name=name,
            slots=lambda: find_slots(resources),
            total=total,
            footer=footer,
        ) as view:
            yield view


@contextmanager
def keep_report_current(store: Store) -> Iterator[None]:
    """Keep the report of a running study current, in a process of its own, so that no error in it
    can reach the study."""
    command = [sys.executable, "-P", "-m", REPORT_MODULE, store.uri, "--watch", str(SECONDS)]
    try:
        # In a session of its own: Ctrl-C is for the study.
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=make_environment(),
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
    """Write the report of what there is now; an error in it is one line."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "analysis", store.uri],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=make_environment(),
            timeout=LAST_REPORT_SECONDS,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"warning: the report was not made: {error}", flush=True)
        return
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"warning: the report was not made: {reason}", flush=True)
    else:
        print(f"report: {store.place(REPORT)}", flush=True)


def make_environment() -> dict[str, str]:
    """The environment of a process that finds this checkout, whatever lies in the current folder,
    and leaves the cores to the trials."""
    return {**os.environ, "PYTHONPATH": make_python_path(), "OMP_NUM_THREADS": "1"}
