"""Deadlines of calls that may never come back: where the system refuses a thread or memory to Ray,
its start and its end wait for processes that have gone.

Meanwhile no Python of this process runs, no thread and no handler of a signal, because Ray holds
the interpreter's lock. So another process watches, and a handler in C ends this one.
"""

import atexit
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NoReturn

from pruning.user_error import UserError

_used = 0  # how often a deadline was set in this process
PROCESS = Path(__file__).with_name("deadline_process.py")
EXIT_SECONDS = 120.0  # for what libraries have registered, such as uploads of loggers


@contextmanager
def deadline(seconds: float, words: str) -> Iterator[None]:
    """If this lasts longer, the process ends with a line of these words, in which `{seconds}` is
    the time, and with exit code 3, as `sweeps.cli.exit_codes` has it for a study that had to stop.

    Raises:
        UserError: the system allows no further process.
    """
    global _used
    _used += 1
    if not hasattr(signal, "SIGQUIT"):  # Windows
        yield
        return
    watch = _start()
    _set(watch, f"{seconds} {words.format(seconds=seconds)}")
    try:
        yield
    finally:
        _set(watch, "")


@cache
def _start() -> "subprocess.Popen[bytes]":
    """Start the watching process of this one."""
    # SIGQUIT is signal 3: `_exit`, as its handler, gets the signal's number for its exit code.
    libc = ctypes.CDLL(None)
    libc.signal(signal.SIGQUIT, ctypes.cast(libc._exit, ctypes.c_void_p))
    command = [sys.executable, "-I", "-S", str(PROCESS), str(os.getpid())]
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    except OSError as error:
        raise UserError(
            f"the system gives this command no further process ({error.strerror}): raise its "
            "limits (ulimit -a), or end what else runs here"
        ) from None


def _set(watch: "subprocess.Popen[bytes]", line: str) -> None:
    assert watch.stdin
    with suppress(OSError, ValueError):  # it was killed: then nobody watches
        watch.stdin.write(f"{line}\n".encode())
        watch.stdin.flush()


def run_to_exit(command: Callable[[], int]) -> NoReturn:
    """Run a command and end this process with its exit code.

    Where it has used Ray, the process ends once its threads have ended and what is registered for
    its end has run, for which they have a deadline. What Python and libraries do after that is left
    out: there threads of Ray's wait for one another, for ever where the system has refused one of
    them.
    """
    before = _used
    code = command()
    if _used == before:
        sys.exit(code)
    if hasattr(signal, "SIGQUIT"):
        _set(_start(), f"{EXIT_SECONDS} the command had ended, but its process did not")
    threading._shutdown()  # type: ignore[attr-defined]  # these two are what Python itself calls
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
