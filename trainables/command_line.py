"""What all commands share: their parser, and the one place that turns an error into one line and an
exit code.

    0   done                               1    some trials failed
    2   a user error                       3    the study directory was lost (study and search)
    130 interrupted by Ctrl-C, SIGTERM, or a closed terminal

Imports nothing but the standard library and `pruning.user_error`, and runs on a Python that is too
old for all else.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from types import FrameType
from typing import Any, NoReturn

from pruning.user_error import UserError, find_nearest, printable
from trainables.safe_output import open_closed_streams, safe_output

OLDEST_PYTHON = (3, 11)  # as in pyproject.toml
PACKAGES = ("analysis", "models", "pruning", "sweeps", "trainables")  # of the project
DONE, USER_ERROR, INTERRUPTED = 0, 2, 130
_EXHAUSTED = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others are, and a JSON object, too, where
    `--json` is given."""

    arguments: Sequence[str] = ()
    find_field: Callable[[str], str | None] | None = None
    """The path of the field of that name, which `--set` takes."""

    def __init__(self, *words: Any, **options: Any) -> None:
        """Options are written in full: a command line that is printed to be run again must not hold
        half of one."""
        super().__init__(*words, **{"allow_abbrev": False, **options})

    def parse_known_args(  # type: ignore[override]  # the overloads of argparse
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Read what is known of a command line."""
        self.arguments = sys.argv[1:] if args is None else args
        return super().parse_known_args(args, namespace)

    def _hint(self, message: str) -> str:
        """What was probably meant by the first argument that is not recognized: a field, an option,
        or a part of the value before it; "" where that cannot be told."""
        unknown, *more = message.partition("unrecognized arguments: ")[2].split() or [""]
        if not unknown:
            return ""
        name, equals, value = unknown.partition("=")
        if name.startswith("--"):
            field = self.find_field and self.find_field(name[2:].replace("-", "_"))
            if field:
                return f"did you mean --set {field}={value if equals else (more or ['...'])[0]}?"
            near = find_nearest(name, self._option_string_actions)
            return f"did you mean {near}?" if near else ""
        words = list(self.arguments)
        place = words.index(unknown) if unknown in words else 0
        option = self._option_string_actions.get(words[place - 2]) if place > 1 else None
        for mark in ",=":
            if option and mark in str(option.metavar) and not words[place - 1].startswith("-"):
                together = mark.join(words[place - 1 : place + 1 + len(more) * (mark == ",")])
                return f"did you mean {words[place - 2]} {together}?"
        return ""

    def error(self, message: str) -> NoReturn:
        """Print the error, with the option that was probably meant, and end with exit code 2."""
        line = printable(f"{message}; {self._hint(message) or 'see --help'}")
        if "--json" in self.arguments and "--json" in self._option_string_actions:
            print_json({"error": line}, USER_ERROR)
        self.exit(USER_ERROR, f"error: {line}\n")


def run_command(
    work: Callable[[], int],
    *,
    interrupted: Callable[[], str],
    output: dict[str, Any] | None = None,
    user_errors: tuple[type[Exception], ...] = (UserError,),
    lost: int = USER_ERROR,
) -> int:
    """Do the work of a command and return its exit code; an error is one line on stderr. Output
    that cannot be written changes neither, and a signal to end is an interruption.

    Args:
        work: returns the exit code.
        interrupted: what to say after Ctrl-C.
        output: the JSON output, where `--json` asks for it. All that the work prints then goes to
            stderr, and at its end this object, with the error and the exit code, to stdout.
        user_errors: exceptions that are an error of the user: exit code 2.
        lost: the exit code where the study directory was lost while the command ran.
    """
    with safe_output():
        if hasattr(sys.stdout, "reconfigure"):
            # A terminal that cannot show "≈" or "±" is no reason to stop.
            sys.stdout.reconfigure(errors="backslashreplace")
        with nullcontext() if output is None else redirect_stdout(sys.stderr):
            code, error = _work(work, interrupted, user_errors, lost)
            if error:
                print(error if code == INTERRUPTED else f"error: {error}", file=sys.stderr)
        if output is not None:
            print_json({**output, **({"error": error} if error else {})}, code)
    return code


def _work(
    work: Callable[[], int],
    interrupted: Callable[[], str],
    user_errors: tuple[type[Exception], ...],
    lost: int,
) -> tuple[int, str]:
    """The exit code, and the error in one line, "" where there is none."""
    try:
        with interrupted_by_signals():
            _check_current_folder()
            return work(), ""
    except ImportError as missing:
        return USER_ERROR, explain_missing_package(missing)
    except KeyboardInterrupt:
        return INTERRUPTED, interrupted()
    except Exception as error:
        code = _code_of_lost_store(error, lost)
        if code is None and isinstance(error, user_errors):
            code = USER_ERROR
        if code is None and (reason := explain_exhaustion(error)):
            return lost, reason
        if code is None:
            raise
        return code, printable(str(error))


def explain_exhaustion(error: Exception) -> str:
    """That the system gives the process no more threads, memory or files, in one line; "" where an
    error says something else."""
    if isinstance(error, RuntimeError):
        found = "can't start new thread" in str(error)
    elif isinstance(error, OSError):
        found = error.errno in _EXHAUSTED
    else:
        found = isinstance(error, MemoryError)
    if not found:
        return ""
    return printable(
        "the system gives this command no more threads, memory or files "
        f"({str(error) or type(error).__name__}): raise its limits (ulimit -u, -v, -n), or end "
        "what else runs here"
    )


def _check_current_folder() -> None:
    """Raises: UserError: the folder in which the command was given is gone."""
    try:
        os.getcwd()
    except OSError as error:
        raise UserError(
            f"the current folder cannot be used ({error.strerror}): change to one that is there"
        ) from None


def _code_of_lost_store(error: Exception, lost: int) -> int | None:
    """The exit code where an error says that the study directory cannot be used; else None."""
    # Not imported at the top: that must run on any Python.
    from trainables.storage.retry import StoreForbidden, StoreLost, StoreReadOnly

    if isinstance(error, (StoreForbidden, StoreReadOnly)):
        return USER_ERROR
    return lost if isinstance(error, StoreLost) else None


def print_json(output: dict[str, Any], code: int) -> None:
    """Print the JSON output of a command: one object, with the exit code."""
    print(json.dumps({**output, "exit_code": code}, indent=1, default=str), flush=True)


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """While this lasts, SIGTERM and SIGHUP interrupt as Ctrl-C does."""
    before = {number: signal.getsignal(number) for number in _signals_to_end()}
    raise_on_signals()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def raise_on_signals() -> None:
    """Have SIGTERM and SIGHUP raise KeyboardInterrupt, also where a library has set handlers of its
    own, as Ray does when it is imported. A signal that is ignored, as under nohup, stays so."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in _signals_to_end():
        signal.signal(number, interrupt)


def _signals_to_end() -> list[signal.Signals]:
    """The signals beside Ctrl-C that ask a process to end, and that this one may handle."""
    if threading.current_thread() is not threading.main_thread():
        return []
    known = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
    return [number for number in known if number and signal.getsignal(number) != signal.SIG_IGN]


def check_python() -> None:
    """Open closed standard streams; end with exit code 2 and one line where Python is too old."""
    open_closed_streams()
    if sys.version_info < OLDEST_PYTHON:
        versions = (OLDEST_PYTHON, sys.version_info)
        oldest, this = (".".join(map(str, version[:2])) for version in versions)
        sys.stderr.write(
            f"error: Python must be at least {oldest}, but this is {this} ({sys.executable})\n"
        )
        sys.exit(USER_ERROR)


def explain_missing_package(error: ImportError) -> str:
    """What to do about a package that is not there, or only by half.

    Raises:
        ImportError: the given one, where it is of the project itself: a fault, and no error of
            the user.
    """
    package = (error.name or "").partition(".")[0]
    if not package or package in PACKAGES:
        raise error
    missing = isinstance(error, ModuleNotFoundError) and error.name == package
    reason = "it is not installed" if missing else str(error)
    return printable(
        f"cannot import '{package}' ({reason}): "
        "run pip install --editable . in the project's checkout"
    )
