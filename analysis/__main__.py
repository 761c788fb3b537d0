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

from pruning.user_error import printable
from trainables.command_line import Parser, check_python, go_on_unread, print_facts, tell_missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.reading.load import Study
    from analysis.report.page import Page
    from trainables.storage.store import Store

WATCHED = 30  # seconds between two looks at a running study
LINES = 80  # of a table that is printed
PRINTED = ("accuracy", "published", "gaps", "versus", "search-best")  # tables that are printed, too


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 where the study could be read, 2 and one line on stderr for a mistake of
    the user, 130 for Ctrl-C."""
    check_python()
    given = make_parser().parse_args(arguments)
    try:
        return _work(given)
    except ImportError as missing:
        code, error = 2, tell_missing(missing)
    except (ValueError, OSError) as mistake:
        code, error = 2, printable(str(mistake))
    except KeyboardInterrupt:
        code, error = 130, "interrupted; the same command makes the report anew"
    if given.json:
        print_facts({"error": error}, code)
    print(error if code == 130 else f"error: {error}", file=sys.stderr)
    return code


def _work(given: argparse.Namespace) -> int:
    """Do what the options ask for, and return the exit code.

    Raises:
        ValueError, OSError: a mistake of the user; one line.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without "±" is no reason to stop

    from analysis.reading.load import load
    from analysis.report.fork_pool import count_workers
    from analysis.report.study_report import FORMATS, write_report

    try:
        formats = _read_formats(given.format, FORMATS)
        if given.json and given.watch is not None:
            raise ValueError(
                "--json tells of one report, --watch writes many: leave one of them out"
            )
        study = load(given.study)
        if given.other:
            return _compare(study, load(given.other), given, formats)
        target = _find_target(given.out, study.store.below("report"))
        if given.watch is not None:
            from analysis.report.keep_current import watch

            return watch(
                given.study,
                target,
                every=given.watch,
                metric=given.metric,
                formats=formats,
                bootstrap=given.bootstrap,
                workers=count_workers(),
            )
        page, paths = write_report(
            study,
            given.metric,
            out=target,
            formats=formats,
            bootstrap=given.bootstrap,
            workers=count_workers(),
        )
        if given.json:
            _tell_machine([study], paths, target)
        else:
            _tell(study, page, paths, target)
        sys.stdout.flush()
    except BrokenPipeError as error:  # all files are written by then
        go_on_unread(error)
    return 0


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
        help="what to write, of png,pdf,svg,csv,md,tex,html,json (default: all of them)",
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
        type=_read_seconds,
        const=WATCHED,
        help=f"keep the report current until the study is over, looking every so often (default: {WATCHED} s)",
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


def _compare(study: Study, other: Study, given: argparse.Namespace, formats: Sequence[str]) -> int:
    """Write the comparison of two studies, and print it."""
    from analysis.statistics.study_comparison import write_comparison

    if given.watch is not None:
        raise ValueError("--watch takes one study, but got two")
    if given.bootstrap:
        raise ValueError("--bootstrap takes one study, but got two")
    target = _find_target(given.out, study.store.below(f"report/versus-{other.slug}"))
    page, paths = write_comparison(study, other, given.metric, out=target, formats=formats)
    if given.json:
        _tell_machine([study, other], paths, target)
    else:
        _tell(study, page, paths, target)
    return 0


def _tell(study: Study, page: Page, paths: list[str], target: Store) -> None:
    """Print the tables that fit a terminal, the summary, and where everything is."""
    from analysis.report.study_report import SHOWN

    for table in page.tables:
        if table.name in PRINTED and len(table.cells) <= LINES:
            print(f"{table.to_text()}\n\n{table.caption}\n")
    print(f"study '{page.title}': {page.summary[0]}")
    print("".join(f"* {sentence}\n" for sentence in page.summary[1:]), end="")
    for section in page.sections:
        if section.title in ("Failed trials", "Trials not run"):
            what = "failed: " if section.title == "Failed trials" else ""
            print("".join(f"{what}{item}\n" for item in section.items), end="")
    for warning in study.warnings[:SHOWN]:
        print(f"warning: {warning}", file=sys.stderr)
    ends: dict[str, list[str]] = {}
    for path in paths:
        stem, _, kind = path.rpartition(".")
        ends.setdefault(stem, []).append(kind)
    for stem, kinds in ends.items():
        what = (
            "report"
            if stem == "report"
            else stem.split("/")[0].removesuffix("s")
            if "/" in stem
            else "rows"
        )
        first = "html" if "html" in kinds else kinds[0]
        also = ", ".join(f".{kind}" for kind in kinds if kind != first)
        print(f"{what}: {target.place(f'{stem}.{first}')}{f' (and {also})' if also else ''}")


def _tell_machine(studies: Sequence[Study], paths: list[str], target: Store) -> None:
    """Print what was written, and of each study what was counted and what is missing, as one JSON
    object."""
    from analysis.reading.missing_trials import find_gaps

    told = []
    for study in studies:
        gaps = find_gaps(study)
        told.append(
            {
                "name": study.name,
                "place": study.store.place(),
                "rows": len(study.rows),
                "done": gaps.done,
                "planned": gaps.planned,
                "failed": {one.key: one.error for one in gaps.failed},
                "missing": {key: gaps.explain(key) for key in (*gaps.missing, *gaps.blocked)},
                "warnings": study.warnings,
            }
        )
    print_facts({"studies": told, "written": [target.place(path) for path in paths]}, 0)


def _read_formats(text: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """The formats of `--format`, in the order of `known`.

    Raises:
        ValueError: one that there is not, or none.
    """
    if text is None:
        return tuple(known)
    asked = {part.strip().lower() for part in text.split(",") if part.strip()}
    if unknown := sorted(asked - set(known)):
        raise ValueError(f"no format '{unknown[0]}'; there are: {', '.join(known)}")
    if not asked:
        raise ValueError(f"--format names no format; there are: {', '.join(known)}")
    return tuple(kind for kind in known if kind in asked)


def _read_seconds(text: str) -> int:
    """A positive whole number of seconds."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"seconds must be a whole number of at least 1, but got '{text}'"
        )
    return int(text)


if __name__ == "__main__":
    gc.set_threshold(
        50_000
    )  # a command that makes much and drops little: looking for garbage took a tenth of its time
    sys.exit(main())
