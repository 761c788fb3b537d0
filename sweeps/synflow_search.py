"""Search the knobs of SynFlow, or of any method: `python sweeps/synflow_search.py`.

Candidates are chosen by validation accuracy alone; the best of each sparsity is trained anew with
other seeds, and only that reads the test set. What is done is never run again: the same command
continues a search, also with more budget.
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
    add_field_option,
    add_model_options,
    add_resource_options,
    add_watch_options,
    run_sweep_command,
)
from sweeps.running.deadline import run_to_exit

DEFAULT_PRESET = "synflow_digits"


def make_parser() -> Parser:
    """The command line. Building it imports nothing heavy."""
    parser = Parser(
        prog="synflow_search.py",
        description="Search SynFlow's iterations and schedule, or any knob and recipe field that a "
        "search file names.",
        epilog="exit codes: 0 the best is confirmed, 1 there is none or some of its trials failed, "
        "2 a mistake in the request, 3 stopped because the study directory was lost, "
        "130 interrupted",
    )
    what = parser.add_argument_group("what to search")
    source = what.add_mutually_exclusive_group()
    source.add_argument(
        "--preset", metavar="NAME", help=f"a search that comes with the project ({DEFAULT_PRESET})"
    )
    source.add_argument("--search", metavar="FILE.yaml", help="your own search file")
    what.add_argument(
        "--sparsities",
        metavar="X,Y",
        help="fractions of zeros, each in [0, 1), searched side by side",
    )
    what.add_argument(
        "--lr", metavar="LOW,HIGH", help="search the learning rate, too, on a log scale"
    )
    what.add_argument(
        "--epochs", metavar="N,M", help="search the number of epochs, too, among these"
    )
    what.add_argument(
        "--strategy", metavar="NAME", help="grid, random, tpe, asha, median or population"
    )
    what.add_argument("--seed", metavar="N", help="of the draws and of the candidates' training")
    what.add_argument("--confirm-seeds", metavar="N,M", help="that the best is trained anew with")
    add_field_option(what)
    add_model_options(what)
    add_data_option(what)
    what.add_argument(
        "--out", metavar="DIR", help="the directory of the search, or an s3:// URI (studies/<name>)"
    )
    much = parser.add_argument_group("how much, over all sparsities")
    much.add_argument("--trials", metavar="N", help="candidates")
    much.add_argument("--hours", metavar="N", help="device hours")
    much.add_argument("--money", metavar="N", help="money, at a price")
    much.add_argument("--price", metavar="N", help="of a device hour")
    how = parser.add_argument_group("how to run it")
    add_resource_options(how)
    add_watch_options(how)
    how.add_argument(
        "--no-confirm", action="store_true", help="search only: leave the test set alone"
    )
    how.add_argument(
        "--retry-failed",
        action="store_true",
        help="of the best, trained anew: run failed trials again",
    )
    how.add_argument(
        "--fresh", action="store_true", help="delete what the directory holds and start anew"
    )
    show = parser.add_argument_group("only look")
    show.add_argument(
        "--dry-run", action="store_true", help="print what would be searched, and what is done"
    )
    show.add_argument(
        "--list-presets", action="store_true", help="print the searches that come with the project"
    )
    add_about_options(parser)
    parser.find_field = _find_field
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_sweep_command(make_parser(), arguments, _work, completions=_completions)


def _find_field(name: str) -> str | None:
    from pruning.validation_errors import find_field
    from sweeps.search.search_spec import SearchSpec

    return find_field(SearchSpec, name)


def _completions() -> dict[str, Iterable[str]]:
    from sweeps.search.search_presets import find_search_presets
    from sweeps.search.strategy import STRATEGIES

    return {"--preset": find_search_presets(), "--strategy": STRATEGIES}


def _work(options: Namespace, invocation: Invocation) -> int:
    from sweeps.search.search_command import run_search_command

    return run_search_command(options, invocation, default_preset=DEFAULT_PRESET)


if __name__ == "__main__":
    run_to_exit(main)
