"""What the command lines of studies and searches share: options, and errors in one line. Imports
nothing heavy."""

import argparse
import json
from collections.abc import Callable, Iterable, Mapping

from sweeps.cli import exit_codes
from sweeps.cli.invocation import Invocation
from trainables.command_line import Parser, run_command

SHELLS = ("bash", "zsh", "fish", "tcsh")
Work = Callable[[argparse.Namespace, Invocation], int]
"""What a command does with its options; returns the exit code."""


def add_field_option(group: argparse._ArgumentGroup) -> None:
    """`--set`: any field of what is asked for."""
    group.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="any field: recipe.epochs=5"
    )


def add_data_option(group: argparse._ArgumentGroup) -> None:
    """`--data-dir`: where the images are."""
    group.add_argument(
        "--data-dir", metavar="DIR", help="images in folders by class, or in Parquet files"
    )


def add_model_options(group: argparse._ArgumentGroup) -> None:
    """Options on the network, and on methods of the user."""
    group.add_argument(
        "--model",
        metavar="NAME",
        help="the network: resnet20, torchvision:NAME, timm:NAME, "
        "or package.module:function of your own",
    )
    group.add_argument(
        "--weights",
        metavar="SOURCE",
        help="trained weights to begin with: a file, torchvision:default, timm:TAG, STUDY_DIR#KEY",
    )
    group.add_argument(
        "--method-path",
        metavar="PATH",
        action="append",
        default=[],
        help="a file with a method of your own, or a folder of such files",
    )


def add_resource_options(group: argparse._ArgumentGroup) -> None:
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


def add_watch_options(group: argparse._ArgumentGroup) -> None:
    """Options on how a run is followed."""
    group.add_argument(
        "--watch", action="store_true", help="a live view on a terminal, and a report kept current"
    )
    group.add_argument(
        "--log", metavar="NAME,NAME", help="log to tensorboard, mlflow or wandb, too"
    )


def add_about_options(parser: Parser) -> None:
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


def run_sweep_command(
    parser: Parser,
    arguments: list[str] | None,
    work: Work,
    *,
    completions: Callable[[], Mapping[str, Iterable[str]]],
) -> int:
    """Read the command line, do the work, and return the exit code; an error is one line.

    Args:
        completions: the words that options of this command take, for `--completion`.
    """
    options, invocation = parser.parse_args(arguments), Invocation.of(arguments, script=parser.prog)
    about = options.version or options.completion

    def do_work() -> int:
        if about:
            return _print_about(parser, options, completions)
        return work(options, invocation)

    return run_command(
        do_work,
        interrupted=lambda: f"interrupted; continue with: {invocation.command_to_continue()}",
        output=invocation.output if options.json and not about else None,
        lost=exit_codes.STOPPED,
    )


def _print_about(
    parser: Parser,
    options: argparse.Namespace,
    completions: Callable[[], Mapping[str, Iterable[str]]],
) -> int:
    """Print the version, or a completion script."""
    if options.version:
        from trainables.version import version

        as_json = json.dumps({"version": version()})
        print(as_json if options.json else f"{parser.prog} {version()}")
    else:
        from sweeps.cli.completion import write_completion

        print(write_completion(parser, options.completion, completions()), end="")
    return exit_codes.DONE
