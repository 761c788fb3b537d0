"""Run a pruning study: `python sweeps/full_study.py --preset digits`.

What is already done in the study directory is never run again, so the same command continues an
interrupted study, retries nothing that failed (unless asked to), and extends a study whose file has
grown.
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

DEFAULT_PRESET = "full"


def parser() -> Parser:
    """The command line. Building it imports nothing heavy."""
    made = Parser(
        prog="full_study.py",
        description="Run every method x sparsity x seed of a pruning study in parallel; continue it if it was stopped.",
        epilog="exit codes: 0 all rows are there, 1 some trials failed, 2 a mistake in the request, "
        "3 stopped because the study directory was lost, 130 interrupted",
    )
    what = made.add_argument_group("what to study")
    source = what.add_mutually_exclusive_group()
    source.add_argument(
        "--preset", metavar="NAME", help=f"a study that comes with the project ({DEFAULT_PRESET})"
    )
    source.add_argument("--study", metavar="FILE.yaml", help="your own study file")
    what.add_argument("--methods", metavar="A,B", help="only these methods")
    what.add_argument("--sparsities", metavar="X,Y", help="fractions of zeros, each in [0, 1)")
    what.add_argument("--seeds", metavar="N,M", help="seeds, e.g. 0,1,2")
    what.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="any field: recipe.epochs=5"
    )
    add_own(what)
    what.add_argument(
        "--data-dir", metavar="DIR", help="Parquet files in the Hugging Face Hub image layout"
    )
    what.add_argument(
        "--out", metavar="DIR", help="the study directory, or an s3:// URI (studies/<name>)"
    )
    how = made.add_argument_group("how to run it")
    add_where(how)
    how.add_argument(
        "--tune-packing",
        action="store_true",
        help="time 1, 2, 4, 8 trials at once, take the fastest",
    )
    add_follow(how)
    how.add_argument(
        "--measure", action="store_true", help="measure latency afterwards, alone on a node"
    )
    how.add_argument(
        "--retry-failed", action="store_true", help="run trials again that failed before"
    )
    how.add_argument(
        "--fresh", action="store_true", help="delete what the study directory holds and start anew"
    )
    show = made.add_argument_group("only look")
    show.add_argument(
        "--dry-run", action="store_true", help="print the plan, what is done and what it would cost"
    )
    show.add_argument(
        "--calibrate",
        action="store_true",
        help="with --dry-run: time training on this machine first",
    )
    show.add_argument(
        "--list-presets", action="store_true", help="print the studies that come with the project"
    )
    show.add_argument(
        "--list-methods",
        action="store_true",
        help="print every pruning method with its paper and cost",
    )
    add_about(made)
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run(parser(), arguments, _work)


def _work(options: Namespace) -> int:
    from sweeps.cli import study_command

    return study_command.run(options, default_preset=DEFAULT_PRESET)


if __name__ == "__main__":
    sys.exit(main())
