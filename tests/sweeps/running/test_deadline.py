"""Calls that never come back, with real processes; Ray's own are in
test_out_of_resources.py.

Covers: sweeps/running/deadline.py, sweeps/running/deadline_process.py.
"""

import subprocess
import sys

import pytest

HOLD_THE_LOCK = "ctypes.PyDLL(None).sleep(600)"  # no Python of the process runs meanwhile
START = """
import atexit, ctypes, time
from sweeps.running import deadline as module
from sweeps.running.deadline import deadline, run_to_exit
"""


def run(code: str) -> "subprocess.CompletedProcess[str]":
    """Run Python code; nothing of it may be left, or its output would not end."""
    command = [sys.executable, "-c", START + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


@pytest.mark.parametrize("call", [HOLD_THE_LOCK, "time.sleep(600)"])
def test_a_call_that_does_not_come_back_ends_the_process_with_one_line(call: str) -> None:
    done = run(f"with deadline(0.5, 'nothing for {{seconds:g}} s'):\n    {call}")
    assert (done.returncode, done.stderr) == (3, "error: nothing for 0.5 s\n")


def test_what_comes_back_in_time_is_left_alone() -> None:
    twice = "for _ in range(2):\n    with deadline(0.3, 'no'):\n        pass\n"
    done = run(f"{twice}time.sleep(0.8)\nprint(1)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


USED = """
def command():
    with deadline(60, 'no'):
        print('end')
    return 1
"""


def test_the_end_of_python_and_of_libraries_is_left_out_after_ray_was_used() -> None:
    hangs = "class Late:\n    def __del__(self):\n        time.sleep(600)\nlate = Late()\n"
    done = run(f"{hangs}{USED}atexit.register(print, 'registered')\nrun_to_exit(command)")
    assert (done.returncode, done.stdout, done.stderr) == (1, "end\nregistered\n", "")


def test_what_is_registered_for_the_end_has_a_deadline_too() -> None:
    late = "module.EXIT_SECONDS = 0.5\natexit.register(time.sleep, 600)\n"
    done = run(f"{late}{USED}run_to_exit(command)")
    assert (done.returncode, done.stdout) == (3, "end\n")
    assert done.stderr == "error: the command had ended, but its process did not\n"


def test_without_ray_a_command_ends_as_any_program() -> None:
    done = run("try:\n    run_to_exit(lambda: 2)\nfinally:\n    print('still here')")
    assert (done.returncode, done.stdout) == (2, "still here\n")


REFUSED = """
def refuse(*words, **how):
    raise BlockingIOError(11, 'Resource temporarily unavailable')
module.subprocess.Popen = refuse
with deadline(60, 'no'):
    pass
"""


def test_where_no_further_process_can_be_started_that_is_said() -> None:
    assert run(REFUSED).stderr.splitlines()[-1] == (
        "pruning.user_error.UserError: the system gives this command no further process (Resource "
        "temporarily unavailable): raise its limits (ulimit -a), or end what else runs here"
    )
