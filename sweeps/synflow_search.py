"""Search the knobs of SynFlow, or of any method: `python sweeps/synflow_search.py`.

Candidates are chosen by validation accuracy alone; the best of each sparsity is trained anew with
other seeds, and only that reads the test set. What is done is never run again: the same command
continues a search, also with more budget.
"""

import sys
from argparse import Namespace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]  # a fresh checkout runs uninstalled, from any folder
sys.path.append(str(Path.cwd()))  # where a user's own network may lie

from trainables.command_line import check_python

check_python()

from sweeps.cli.options import Parser, add_about, add_follow, add_own, add_where, run

DEFAULT_PRESET = "synflow_digits"


def parser() -> Parser:
    """The command line. Building it imports nothing heavy."""
    made = Parser(
        prog="synflow_search.py",
        description="Search SynFlow's iterations and schedule, or any knob and recipe field that a search file names.",
        epilog="exit codes: 0 the best is confirmed, 1 there is none or some of its trials failed, 2 a mistake in the "
        "request, 3 stopped because the study directory was lost, 130 interrupted",
    )
    what = made.add_argument_group("what to search")
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
    what.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="any field: recipe.epochs=5"
    )
    add_own(what)
    what.add_argument(
        "--data-dir", metavar="DIR", help="Parquet files in the Hugging Face Hub image layout"
    )
    what.add_argument(
        "--out", metavar="DIR", help="the directory of the search, or an s3:// URI (studies/<name>)"
    )
    much = made.add_argument_group("how much, over all sparsities")
    much.add_argument("--trials", metavar="N", help="candidates")
    much.add_argument("--hours", metavar="N", help="device hours")
    much.add_argument("--money", metavar="N", help="money, at a price")
    much.add_argument("--price", metavar="N", help="of a device hour")
    how = made.add_argument_group("how to run it")
    add_where(how)
    add_follow(how)
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
    show = made.add_argument_group("only look")
    show.add_argument(
        "--dry-run", action="store_true", help="print what would be searched, and what is done"
    )
    show.add_argument(
        "--list-presets", action="store_true", help="print the searches that come with the project"
    )
    add_about(made)
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run(parser(), arguments, _work)


def _work(options: Namespace) -> int:
    from sweeps.search import search_command

    return search_command.run(options, default_preset=DEFAULT_PRESET)


if __name__ == "__main__":
    sys.exit(main())
