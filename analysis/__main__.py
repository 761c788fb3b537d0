"""`python -m analysis STUDY_DIR`: from the rows of a study, also of a running one, to figures, tables and a report.

With a second study directory, the two are compared: what both have, side by side and paired by seed.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.load import Study
    from analysis.page import Page
    from trainables.store import Store

WATCHED = 30  # seconds between two looks at a running study
LINES = 80  # of a table that is printed
PRINTED = ("accuracy", "published", "gaps", "versus", "search-best")  # tables that are printed, too


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 where the study could be read, 2 and one line on stderr for a mistake of the user."""
    given = make_parser().parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without "±" is no reason to stop

    from analysis.load import NotAStudyError, load
    from analysis.report import FORMATS, write_report
    from trainables.store import Store

    try:
        formats = _read_formats(given.format, FORMATS)
        study = load(given.study)
        if given.other:
            return _compare(study, load(given.other), given, formats)
        target = Store.at(given.out) if given.out else study.store.below("report")
        if given.watch is not None:
            from analysis.watch import watch

            return watch(
                given.study, target, every=given.watch, metric=given.metric, formats=formats, bootstrap=given.bootstrap
            )
        page, paths = write_report(study, given.metric, out=target, formats=formats, bootstrap=given.bootstrap)
        _tell(study, page, paths, target)
    except (NotAStudyError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    parser.add_argument("study", metavar="STUDY_DIR", help="study directory, or a URI such as s3://bucket/study")
    parser.add_argument("other", metavar="OTHER", nargs="?", help="a second study, to compare the first with")
    parser.add_argument("--metric", default="test_top1", help="column of the rows to show (default: %(default)s)")
    parser.add_argument("--out", metavar="DIR", help="where to write (default: STUDY_DIR/report)")
    parser.add_argument(
        "--format", metavar="LIST", help="what to write, of png,pdf,svg,csv,md,tex,html,json (default: all of them)"
    )
    parser.add_argument("--bootstrap", action="store_true", help="a table of percentile bootstrap intervals, too")
    parser.add_argument(
        "--watch",
        metavar="SECONDS",
        nargs="?",
        type=_read_seconds,
        const=WATCHED,
        help=f"keep the report current until the study is over, looking every so often (default: {WATCHED} s)",
    )
    return parser


def _compare(study: Study, other: Study, given: argparse.Namespace, formats: Sequence[str]) -> int:
    """Write the comparison of two studies, and print it."""
    from analysis.versus import write_comparison
    from trainables.store import Store

    if given.watch is not None:
        raise ValueError("--watch takes one study, but got two")
    if given.bootstrap:
        raise ValueError("--bootstrap takes one study, but got two")
    target = Store.at(given.out) if given.out else study.store.below(f"report/versus-{other.slug}")
    page, paths = write_comparison(study, other, given.metric, out=target, formats=formats)
    _tell(study, page, paths, target)
    return 0


def _tell(study: Study, page: Page, paths: list[str], target: Store) -> None:
    """Print the tables that fit a terminal, the summary, and where everything is."""
    from analysis.report import SHOWN

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
        what = "report" if stem == "report" else stem.split("/")[0].removesuffix("s") if "/" in stem else "rows"
        first = "html" if "html" in kinds else kinds[0]
        also = ", ".join(f".{kind}" for kind in kinds if kind != first)
        print(f"{what}: {target.place(f'{stem}.{first}')}{f' (and {also})' if also else ''}")


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
        raise argparse.ArgumentTypeError(f"seconds must be a whole number of at least 1, but got '{text}'")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
