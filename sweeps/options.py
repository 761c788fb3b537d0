"""What the command lines share: mistakes in one line, where to run, and exit codes. Imports nothing heavy."""

import argparse
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are one line, as all others are."""

    def error(self, message: str) -> NoReturn:
        """Print the mistake and end with exit code 2."""
        from sweeps.mistake import printable

        self.exit(2, f"error: {printable(message)}; see --help\n")


def add_where(group: argparse._ArgumentGroup) -> None:
    """Options on what a trial takes of which cluster."""
    group.add_argument("--cpus-per-trial", metavar="N", help="CPU cores, which are also its threads")
    group.add_argument("--gpus-per-trial", metavar="N", help="GPUs; 0.25 lets four trials share one")
    group.add_argument("--address", metavar="HOST:PORT", help="a Ray cluster (default: a running one, else its own)")


def run(parser: Parser, arguments: list[str] | None, work: Callable[[argparse.Namespace], int]) -> int:
    """Read the command line, do the work, and return the exit code; a mistake is one line."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without "≈" is no reason to stop
    options = parser.parse_args(arguments)
    from sweeps import command
    from sweeps.mistake import Mistake
    from trainables.store import StoreForbidden, StoreLost, StoreReadOnly

    try:
        return work(options)
    except Mistake as mistake:
        print(f"error: {mistake}", file=sys.stderr)
        return 2
    except StoreLost as lost:
        print(f"error: {lost}", file=sys.stderr)
        return 2 if isinstance(lost, (StoreForbidden, StoreReadOnly)) else command.STOPPED
    except KeyboardInterrupt:
        return command.INTERRUPTED
