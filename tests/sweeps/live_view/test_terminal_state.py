"""What becomes of the terminal that the live view is drawn on.

Covers: sweeps/live_view/terminal_view.py.
"""

import os
import pty
import re
import select
import signal
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def in_terminal(
    code: str, *, sends: bytes = b"", when: bytes = b"", **env: str
) -> tuple[int, bytes]:
    """Run Python code in a terminal of its own; type `sends` once `when` is seen. The exit code and
    all it wrote."""
    pid, terminal = pty.fork()
    if not pid:
        signal.signal(
            signal.SIGINT, signal.SIG_DFL
        )  # ignored, and so inherited, where a shell runs us in the background
        os.execve(
            sys.executable,
            [sys.executable, "-c", code],
            {**os.environ, "TERM": "xterm-256color", **env},
        )
    text, until = b"", time.monotonic() + 60
    while time.monotonic() < until:
        if select.select([terminal], [], [], 1)[0]:
            try:
                text += os.read(terminal, 65536)
            except OSError:
                break
            if sends and when in text:
                os.write(terminal, sends)
                sends = b""
    else:
        os.kill(pid, signal.SIGKILL)
    code_of = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    return code_of, text


DRAW = f"""
import sys, time; sys.path[:0] = [{str(ROOT)!r}]
from sweeps.live_view.terminal_view import TerminalView
from sweeps.running.snapshot import Snapshot
try:
    with TerminalView("study x", snapshot=lambda: Snapshot(1, 2, 0), name=lambda key, spec: key):
        print("a line with [red]markup[/] and " + "words " * 40, flush=True)
        time.sleep(5)
except KeyboardInterrupt:
    print("the end")
    sys.exit(130)
"""


@pytest.fixture(scope="module")
def stopped() -> tuple[int, bytes]:
    """A live view that was ended by Ctrl-C."""
    return in_terminal(DRAW, sends=b"\x03", when=b"markup")


def test_ctrl_c_leaves_the_terminal_as_it_was(stopped: tuple[int, bytes]) -> None:
    code, text = stopped
    assert code == 130 and text.rstrip().endswith(b"the end")
    assert text.count(b"\x1b[?25l") == text.count(b"\x1b[?25h") == 1, "the cursor is there again"
    assert b"[red]markup[/]" in text, "lines are printed as they are"


def test_no_color_is_heeded(stopped: tuple[int, bytes]) -> None:
    colour = re.compile(rb"\x1b\[[0-9;]*[34]8?;?[0-9]")
    _, without = in_terminal(DRAW, sends=b"\x03", when=b"study x", NO_COLOR="1")
    assert colour.search(stopped[1]) and not colour.search(without)
