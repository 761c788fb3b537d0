"""What the command lines share: mistakes in one line, where to run, and exit codes. Imports nothing
heavy."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import TextIOWrapper

from pruning.user_error import UserError
from trainables import command_line

UNREAD = (
    141  # exit code where the reader of the output went away, as of any command that SIGPIPE ends
)
SHELLS = ("bash", "zsh", "fish", "tcsh")


class Parser(command_line.Parser):
    """A parser of this package's commands; what it reads has `facts`, empty, to be told by --json.
    """

    def parse_known_args(  # type: ignore[override]  # the overloads of argparse
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Read what is known of a command line."""
        found, rest = super().parse_known_args(args, namespace)
        found.facts = {}
        return found, rest


def add_own(group: argparse._ArgumentGroup) -> None:
    """Options on the network, and on methods of the user's own."""
    told = "resnet20, torchvision:NAME, timm:NAME, or package.module:function of your own"
    group.add_argument("--model", metavar="NAME", help=f"the network: {told}")
    group.add_argument(
        "--method-path",
        metavar="PATH",
        action="append",
        default=[],
        help="a file with a method of your own, or a folder of such files",
    )


def add_where(group: argparse._ArgumentGroup) -> None:
    """Options on what a trial takes of which cluster."""
    group.add_argument(
        "--cpus-per-trial", metavar="N", help="CPU cores, which are also its threads"
    )
    group.add_argument(
        "--gpus-per-trial", metavar="N", help="GPUs; 0.25 lets four trials share one"
    )
    group.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="a Ray cluster (default: a running one, else its own)",
    )


def add_follow(group: argparse._ArgumentGroup) -> None:
    """Options on how a run is followed."""
    group.add_argument(
        "--watch", action="store_true", help="a live view on a terminal, and a report kept current"
    )
    group.add_argument(
        "--log", metavar="NAME,NAME", help="log to tensorboard, mlflow or wandb, too"
    )


def add_about(parser: Parser) -> None:
    """Options on the command itself."""
    about = parser.add_argument_group("about this command")
    about.add_argument(
        "--json", action="store_true", help="print one JSON object on stdout, all else on stderr"
    )
    about.add_argument("--version", action="store_true", help="print the version")
    about.add_argument(
        "--completion",
        metavar="SHELL",
        choices=SHELLS,
        help=f"print a script for {', '.join(SHELLS)}",
    )


def run(
    parser: Parser, arguments: list[str] | None, work: Callable[[argparse.Namespace], int]
) -> int:
    """Read the command line, do the work, and return the exit code; a mistake is one line."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # a terminal without "≈" is no reason to stop
    options = parser.parse_args(arguments)
    try:
        code = _run(parser, options, work)
        sys.stdout.flush()
    except BrokenPipeError as error:
        command_line.go_on_unread(error)
        code = UNREAD
    return code


def _run(
    parser: Parser, options: argparse.Namespace, work: Callable[[argparse.Namespace], int]
) -> int:
    if options.version:
        from trainables.version import version

        print(json.dumps({"version": version()}) if options.json else f"{parser.prog} {version()}")
        return 0
    if options.completion:
        from sweeps.cli.completion import write_completion

        print(write_completion(parser, options.completion), end="")
        return 0
    if not options.json:
        return _answer(options, work)
    with redirect_stdout(sys.stderr):
        code = _answer(options, work)
    command_line.print_facts(options.facts, code)
    return code


def _answer(options: argparse.Namespace, work: Callable[[argparse.Namespace], int]) -> int:
    try:
        return _work(options, work)
    except ImportError as missing:
        options.facts["error"] = error = command_line.tell_missing(missing)
        print(f"error: {error}", file=sys.stderr)
        return 2


def _work(options: argparse.Namespace, work: Callable[[argparse.Namespace], int]) -> int:
    from sweeps.cli import study_command
    from trainables.storage.store import StoreForbidden, StoreLost, StoreReadOnly

    try:
        return work(options)
    except UserError as mistake:
        code, error = 2, str(mistake)
    except StoreLost as lost:
        code, error = (
            2 if isinstance(lost, (StoreForbidden, StoreReadOnly)) else study_command.STOPPED,
            str(lost),
        )
    except KeyboardInterrupt:
        code, error = (
            study_command.INTERRUPTED,
            f"interrupted; continue with: {study_command.again()}",
        )
    options.facts["error"] = error
    print(f"error: {error}" if code != study_command.INTERRUPTED else error, file=sys.stderr)
    return code
