"""What every command says of a mistake: one line, safe to print, and exit code 2. Imports nothing
but the standard library and `pruning.user_error`, and runs on a Python that is too old for all
else."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from pruning.user_error import printable

PYTHON = (3, 11)  # as in pyproject.toml
OWN = ("analysis", "models", "pruning", "sweeps", "trainables")


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are one line, as all others are, and a JSON object, too, where
    `--json` is given."""

    given: Sequence[str] = ()

    def __init__(self, *words: Any, **settings: Any) -> None:
        """Options are written in full: a line that is printed to be run again must not hold half of
        one."""
        super().__init__(*words, **{"allow_abbrev": False, **settings})

    def parse_known_args(  # type: ignore[override]  # the overloads of argparse
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Read what is known of a command line."""
        self.given = sys.argv[1:] if args is None else args
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Print the mistake, with the option that was probably meant, and end with exit code 2."""
        found = message.partition("unrecognized arguments: ")[2].partition(" ")[0].partition("=")[0]
        near = get_close_matches(found, self._option_string_actions, n=1)
        line = printable(f"{message}; {f'did you mean {near[0]}?' if near else 'see --help'}")
        if "--json" in self.given and "--json" in self._option_string_actions:
            print_facts({"error": line}, 2)
        self.exit(2, f"error: {line}\n")


def print_facts(facts: dict[str, Any], code: int) -> None:
    """Print what `--json` asks for: one object, with the exit code."""
    print(json.dumps({**facts, "exit_code": code}, indent=1, default=str), flush=True)


def go_on_unread(error: BrokenPipeError) -> None:
    """Drop what is still printed, because whoever read it, such as `| head`, has seen enough.

    Raises:
        BrokenPipeError: the given one, where something else broke than standard output.
    """
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    raise error


def check_python() -> None:
    """End with exit code 2 and one line where Python is too old."""
    if sys.version_info < PYTHON:
        wanted, found = (".".join(map(str, version[:2])) for version in (PYTHON, sys.version_info))
        sys.stderr.write(
            f"error: Python must be at least {wanted}, but this is {found} ({sys.executable})\n"
        )
        sys.exit(2)


def tell_missing(error: ImportError) -> str:
    """What to do about a package that is not there, or only by half.

    Raises:
        ImportError: the given one, where it is of the project itself: a fault, and no mistake of
            the user.
    """
    name = (error.name or "").partition(".")[0]
    if not name or name in OWN:
        raise error
    reason = (
        "it is not installed"
        if isinstance(error, ModuleNotFoundError) and error.name == name
        else str(error)
    )
    return printable(
        f"cannot import '{name}' ({reason}): run pip install --editable . in the project's checkout"
    )
