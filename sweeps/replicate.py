"""Run published results again and compare: `python sweeps/replicate.py`.

The presets with published claims run one after the other, and each gets a page: what the paper
says, our number with its interval, inside the tolerance or outside and by how much. What is done is
never run again, so the same command continues all of it.
"""

import sys
from argparse import Namespace
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a fresh checkout runs uninstalled, from any folder
for name in ("models", "pruning", "sweeps", "trainables"):
    import_module(name)  # found there, whatever else has these names
sys.path.append(sys.path.pop(0))  # nothing else of it stands before Python's own modules

from trainables.command_line import Parser, check_python

check_python()

from sweeps.cli.invocation import Invocation
from sweeps.cli.options import (
    add_about_options,
    add_data_option,
    add_resource_options,
    add_watch_options,
    run_sweep_command,
)
from sweeps.running.deadline import run_to_exit

REPLICATIONS = ("lth_lenet", "snip_lenet", "han_lenet", "synflow_collapse")
"""The presets that `analysis/replications/` has claims for, the quickest first."""


def make_parser() -> Parser:
    """The command line. Building it imports nothing heavy."""
    parser = Parser(
        prog="replicate.py",
        description="Run published results again, one preset after the other, and write for each a "
        "page that compares the paper's claims with our numbers.",
        epilog="exit codes: 0 all rows are there, whatever the verdicts, 1 some trials failed, "
        "2 a mistake in the request, 3 stopped because the study directory was lost, "
        "130 interrupted",
    )
    what = parser.add_argument_group("what to replicate")
    what.add_argument(
        "--presets", metavar="A,B", help=f"only these, of {','.join(REPLICATIONS)} (default: all)"
    )
    what.add_argument(
        "--set",
        metavar="NAME.KEY=VALUE",
        action="append",
        default=[],
        help="any field of a preset, e.g. lth_lenet.recipe.epochs=8; the page names it",
    )
    add_data_option(what)
    what.add_argument(
        "--out", metavar="DIR", default="studies", help="where the study directories lie (studies)"
    )
    what.add_argument(
        "--pages",
        metavar="DIR",
        default="studies/replications",
        help="where the pages are written (studies/replications)",
    )
    how = parser.add_argument_group("how to run it")
    add_resource_options(how)
    add_watch_options(how)
    how.add_argument(
        "--retry-failed", action="store_true", help="run trials again that failed before"
    )
    show = parser.add_argument_group("only look")
    show.add_argument(
        "--dry-run", action="store_true", help="print the plans, what is done and what they cost"
    )
    add_about_options(parser)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_sweep_command(make_parser(), arguments, _work, completions=_completions)


def _completions() -> dict[str, Iterable[str]]:
    return {"--presets": REPLICATIONS}


def _work(options: Namespace, invocation: Invocation) -> int:
    from sweeps.cli.replicate_command import run_replicate_command

    return run_replicate_command(options, invocation, known=REPLICATIONS)


if __name__ == "__main__":
    run_to_exit(main)
