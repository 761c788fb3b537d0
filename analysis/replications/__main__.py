"""`python -m analysis.replications PRESET --study DIR`: the page of a replication, from its study
directory, or again from the rows that were recorded beside the page."""

import argparse
import sys
from pathlib import Path

from pruning.user_error import UserError
from trainables.command_line import DONE, Parser, check_python, run_command

PAGES = Path("docs", "replications")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 where the page is written, 2 and one line on stderr for a user error."""
    check_python()
    given = make_parser().parse_args(arguments)
    return run_command(
        lambda: _run(given),
        interrupted=lambda: "interrupted; the same command makes the page anew",
        user_errors=(ValueError, OSError),
    )


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = Parser(prog="python -m analysis.replications", description=__doc__)
    parser.add_argument("preset", metavar="PRESET", help="lth_lenet, snip_lenet, ...")
    parser.add_argument(
        "--study", metavar="DIR", help="record the rows of this study directory first"
    )
    parser.add_argument(
        "--pages",
        metavar="DIR",
        type=Path,
        default=PAGES,
        help="where page, rows and figures lie (default: %(default)s)",
    )
    about = parser.add_argument_group("what the rows do not say, with --study")
    about.add_argument("--command", metavar="TEXT", default="", help="that ran the study")
    about.add_argument("--hardware", metavar="TEXT", default="", help="that it ran on")
    about.add_argument(
        "--changed",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="what it sets otherwise than the preset",
    )
    return parser


def _run(given: argparse.Namespace) -> int:
    """Do what the options ask for, and return the exit code.

    Raises:
        ValueError, OSError: a user error; one line.
    """
    from analysis.reading.load import load_study
    from analysis.replications.papers import PAPERS
    from analysis.replications.recorded_rows import make_facts, record
    from analysis.replications.replication_files import find_rows, write_files

    if given.preset not in PAPERS:
        raise UserError(f"no replication '{given.preset}'; there are: {', '.join(PAPERS)}")
    if given.study:
        study = load_study(given.study)
        if study.rows.empty:
            raise UserError(f"'{given.study}' has no rows yet")
        facts = make_facts(
            study,
            preset=given.preset,
            changed=tuple(given.changed),
            command=given.command,
            hardware=given.hardware,
        )
        record(study, facts, find_rows(given.pages, given.preset))
    print(write_files(given.pages, given.preset))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
