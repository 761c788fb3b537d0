"""`python -m analysis STUDY_DIR`: from the rows of a study, also of a running one, to figures,
tables and a report.

With a second study directory, the two are compared: what both have, side by side and paired by
seed.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from typing import TYPE_CHECKING

from trainables.command_line import DONE, Parser, check_python, run_command
from trainables.storage import layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.reading.load import Study
    from analysis.report.page import Page
    from trainables.storage.store import Store

WATCH_SECONDS = 30  # between two checks of a running study


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 where the study could be read, 2 and one line on stderr for a user error,
    130 for Ctrl-C."""
    check_python()
    given = make_parser().parse_args(arguments)
    output: dict[str, object] | None = {} if given.json else None
    return run_command(
        lambda: _run(given, output),
        interrupted=lambda: "interrupted; the same command makes the report anew",
        output=output,
        user_errors=(ValueError, OSError),
    )


def _run(given: argparse.Namespace, output: dict[str, object] | None) -> int:
    """Do what the options ask for, and return the exit code; what `--json` prints is put into
    `output`.

    Raises:
        ValueError, OSError: a user error; one line.
    """
    from analysis.reading.load import load_study
    from analysis.report.page_files import DEFAULT_FORMATS, FORMATS

    formats = DEFAULT_FORMATS if given.format is None else _parse_formats(given.format, FORMATS)
    if output is not None and given.watch is not None:
        raise ValueError("--json prints one report, --watch writes many: leave one of them out")
    study = load_study(given.study)
    if given.other:
        return _compare(study, load_study(given.other), given, formats, output)
    return _report(study, given, formats, output)


def _report(
    study: Study,
    given: argparse.Namespace,
    formats: Sequence[str],
    output: dict[str, object] | None,
) -> int:
    """Write the report of one study, once or again and again, and print it."""
    from analysis.report.fork_pool import count_processes
    from analysis.report.keep_current import keep_report_current
    from analysis.report.study_report import write_report

    target = _find_target(given.out, study.store.below(layout.REPORT))
    if given.watch is not None:
        return keep_report_current(
            given.study,
            target,
            every=given.watch,
            metric=given.metric,
            formats=formats,
            bootstrap=given.bootstrap,
            processes=count_processes(),
        )
    page, paths = write_report(
        study,
        given.metric,
        out=target,
        formats=formats,
        bootstrap=given.bootstrap,
        processes=count_processes(),
    )
    _print(page, [study], paths, target, output)
    return DONE


def _compare(
    study: Study,
    other: Study,
    given: argparse.Namespace,
    formats: Sequence[str],
    output: dict[str, object] | None,
) -> int:
    """Write the comparison of two studies, and print it."""
    from analysis.report.comparison_page import write_comparison

    if given.watch is not None:
        raise ValueError("--watch takes one study, but got two")
    if given.bootstrap:
        raise ValueError("--bootstrap takes one study, but got two")
    folder = study.store.below(layout.comparison_folder(other.slug))
    target = _find_target(given.out, folder)
    page, paths = write_comparison(study, other, given.metric, out=target, formats=formats)
    _print(page, [study, other], paths, target, output)
    return DONE


def _print(
    page: Page,
    studies: Sequence[Study],
    paths: list[str],
    target: Store,
    output: dict[str, object] | None,
) -> None:
    """Print a report, or put it into the JSON output."""
    from analysis.report.terminal_output import describe_report, print_report

    if output is None:
        print_report(studies[0], page, paths, target)
    else:
        output.update(describe_report(studies, paths, target))


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = Parser(prog="python -m analysis", description=__doc__)
    parser.add_argument(
        "study", metavar="STUDY_DIR", help="study directory, or a URI such as s3://bucket/study"
    )
    parser.add_argument(
        "other", metavar="OTHER", nargs="?", help="a second study, to compare the first with"
    )
    parser.add_argument(
        "--metric", default="test_top1", help="column of the rows to show (default: %(default)s)"
    )
    parser.add_argument("--out", metavar="DIR", help="where to write (default: STUDY_DIR/report)")
    parser.add_argument(
        "--format",
        metavar="LIST",
        help="what to write, of png,pdf,svg,csv,md,tex,html,json (default: all but png)",
    )
    parser.add_argument(
        "--bootstrap", action="store_true", help="a table of percentile bootstrap intervals, too"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object for machines instead of tables"
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    parser.add_argument(
        "--watch",
        metavar="SECONDS",
        nargs="?",
        type=_parse_seconds,
        const=WATCH_SECONDS,
        help="keep the report current until the study is over, looking every so often "
        f"(default: {WATCH_SECONDS} s)",
    )
    return parser


class _Version(argparse.Action):
    """Prints the version, which is only read when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from trainables.version import version

        print(f"{parser.prog} {version()}")
        parser.exit()


def _find_target(out: str | None, default: Store) -> Store:
    """Where to write.

    Raises:
        ValueError: a file is in its place, or the URI is of no known kind.
    """
    from trainables.storage.store import Store

    if out is not None and os.path.isfile(out):
        raise ValueError(f"--out must name a folder, but '{out}' is a file")
    return default if out is None else Store.at(out)


def _parse_formats(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """The formats of `--format`, in the order of `known`.

    Raises:
        ValueError: an unknown format, or none.
    """
    requested = {part.strip().lower() for part in text.split(",") if part.strip()}
    if unknown := sorted(requested - set(known)):
        raise ValueError(f"no format '{unknown[0]}'; there are: {', '.join(known)}")
    if not requested:
        raise ValueError(f"--format names no format; there are: {', '.join(known)}")
    return tuple(kind for kind in known if kind in requested)


def _parse_seconds(text: str) -> int:
    """A positive whole number of seconds."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"seconds must be a whole number of at least 1, but got '{text}'"
        )
    return int(text)


if __name__ == "__main__":
    # The command allocates much and frees little: looking for garbage took a tenth of its time.
    gc.set_threshold(50_000)
    sys.exit(main())
