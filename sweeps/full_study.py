"""Run a pruning study: `python sweeps/full_study.py --preset digits`.

What is already done in the study directory is never run again, so the same command continues an
interrupted study, retries nothing that failed (unless asked to), and extends a study whose file has
grown.
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

DEFAULT_PRESET = "full"


def make_parser() -> Parser:
    """The command line. Building it imports nothing heavy."""
    parser = Parser(
        prog="full_study.py",
        description="Run every method x sparsity x seed of a pruning study in parallel; "
        "continue it if it was stopped.",
        epilog="exit codes: 0 all rows are there, 1 some trials failed, "
        "2 a mistake in the request, 3 stopped because the study directory was lost, "
        "130 interrupted",
    )
    what = parser.add_argument_group("what to study")
    source = what.add_mutually_exclusive_group()
    source.add_argument(
        "--preset", metavar="NAME", help=f"a study that comes with the project ({DEFAULT_PRESET})"
    )
    source.add_argument("--study", metavar="FILE.yaml", help="your own study file")
    what.add_argument("--methods", metavar="A,B", help="only these methods")
    what.add_argument("--sparsities", metavar="X,Y", help="fractions of zeros, each in [0, 1)")
    what.add_argument("--seeds", metavar="N,M", help="seeds, e.g. 0,1,2")
    add_field_option(what)
    add_model_options(what)
    add_data_option(what)
    what.add_argument(
        "--out", metavar="DIR", help="the study directory, or an s3:// URI (studies/<name>)"
    )
    how = parser.add_argument_group("how to run it")
    add_resource_options(how)
    how.add_argument(
        "--tune-packing",
        action="store_true",
        help="time 1, 2, 4, 8 trials at once, take the fastest",
    )
    add_watch_options(how)
    how.add_argument(
        "--measure", action="store_true", help="measure latency afterwards, alone on a node"
    )
    how.add_argument(
        "--retry-failed", action="store_true", help="run trials again that failed before"
    )
    how.add_argument(
        "--fresh", action="store_true", help="delete what the study directory holds and start anew"
    )
    show = parser.add_argument_group("only look")
    show.add_argument(
        "--dry-run", action="store_true", help="print the plan, what is done and what it would cost"
    )
    show.add_argument(
        "--time-epochs",
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
    add_about_options(parser)
    parser.find_field = _find_field
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_sweep_command(make_parser(), arguments, _work, completions=_completions)


def _find_field(name: str) -> str | None:
    from pruning.validation_errors import find_field
    from sweeps.study_file.study import StudySpec

    return find_field(StudySpec, name)


def _completions() -> dict[str, Iterable[str]]:
    from sweeps.study_file.study_reader import find_study_presets

    return {"--preset": find_study_presets()}


def _work(options: Namespace, invocation: Invocation) -> int:
    from sweeps.cli.study_command import run_study_command

    return run_study_command(options, invocation, default_preset=DEFAULT_PRESET)


if __name__ == "__main__":
    run_to_exit(main)
