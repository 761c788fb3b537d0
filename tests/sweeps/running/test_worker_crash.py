"""Where a worker crashed, read from Ray's log of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.running.worker_crash import find_crash
from tests.sweeps.running.test_worker_failures import KILLED

CRASH = """
import faulthandler, signal
faulthandler.enable()
def inner():
    signal.raise_signal(signal.{name})
inner()
"""


@pytest.mark.parametrize(
    ("name", "fault"), [("SIGSEGV", "Segmentation fault"), ("SIGABRT", "Aborted")]
)
def test_the_traceback_of_a_real_crash_is_found(tmp_path: Path, name: str, fault: str) -> None:
    code = tmp_path / "own.py"
    code.write_text(CRASH.format(name=name))
    died = subprocess.run([sys.executable, code], capture_output=True, text=True)
    assert died.returncode < 0
    write_log(tmp_path, 25265, f":job_id:01\n{died.stderr}")
    assert find_crash(KILLED, str(tmp_path)) == f"{fault} in own.py, line 5"


def test_the_call_in_a_library_is_named_with_the_one_that_made_it(tmp_path: Path) -> None:
    stack = (
        "Fatal Python error: Segmentation fault\n\nStack (most recent call first):\n"
        '  File "/v/lib/python3.11/site-packages/torch/autograd/graph.py", line 1113 in _engine\n'
        '  File "/v/lib/python3.11/site-packages/torch/_tensor.py", line 623 in backward\n'
        '  File "/p/trainables/training/epoch.py", line 237 in _differentiate\n'
        '  File "/p/trainables/training/epoch.py", line 176 in _step\n'
    )
    write_log(tmp_path, 25265, stack)
    assert find_crash(KILLED, str(tmp_path)) == (
        "Segmentation fault in graph.py, line 1113, called by epoch.py, line 237"
    )


def test_of_a_long_log_the_end_is_read(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda log: pytest.fail("all of the log is read"))
        write_log(tmp_path, 25265, "é" * 1_000_000 + "\nFatal Python error: Aborted\n")
        assert find_crash(KILLED, str(tmp_path)) == "Aborted"


def test_without_a_traceback_nothing_is_claimed(tmp_path: Path) -> None:
    assert find_crash(KILLED, None) is None
    assert find_crash(KILLED, str(tmp_path)) is None  # the log is on another machine
    write_log(tmp_path, 25265, "killed\n")
    write_log(tmp_path, 1, "Fatal Python error: Aborted\n")
    assert find_crash(KILLED, str(tmp_path)) is None
    assert find_crash("no process is named", str(tmp_path)) is None


def write_log(folder: Path, process: int, text: str) -> None:
    """A worker's log, as Ray names it."""
    logs = folder / "logs"
    os.makedirs(logs, exist_ok=True)
    (logs / f"worker-0a1b-ffffffff-{process}.err").write_text(text)
