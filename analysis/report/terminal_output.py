"""What the command prints: tables that fit a terminal, the summary and the written files; or the
content of its JSON output."""

import sys
from collections.abc import Sequence

from analysis.reading.load import Study
from analysis.reading.study_completeness import find_missing_trials
from analysis.report.page import Page
from analysis.report.page_sections import SHOWN
from trainables.storage.store import Store

MOST_ROWS_OF_TABLE = 80  # a longer table is only written
PRINTED_TABLES = ("accuracy", "published", "missing", "versus", "search-best")


def print_report(study: Study, page: Page, paths: list[str], target: Store) -> None:
    """Print the tables that fit a terminal, the summary, and where everything is."""
    for table in page.tables:
        if table.name in PRINTED_TABLES and len(table.cells) <= MOST_ROWS_OF_TABLE:
            # A terminal's table has a star where the written ones are bold.
            caption = table.caption.replace(" Bold: ", " With a star (*): ")
            print(f"{table.to_text()}\n\n{caption}\n")
    print(f"study '{page.title}': {page.summary[0]}")
    print("".join(f"* {sentence}\n" for sentence in page.summary[1:]), end="")
    starts = {"Failed trials": "failed: ", "Trials not run": ""}
    for section in page.sections:
        if section.title in starts:
            start = starts[section.title]
            print("".join(f"{start}{item}\n" for item in section.items), end="")
    for warning in study.warnings[:SHOWN]:
        print(f"warning: {warning}", file=sys.stderr)
    _print_files(paths, target)


def _print_files(paths: list[str], target: Store) -> None:
    """Print one line for the files that differ in their ending only."""
    endings: dict[str, list[str]] = {}
    for path in paths:
        stem, _, ending = path.rpartition(".")
        endings.setdefault(stem, []).append(ending)
    for stem, kinds in endings.items():
        folder, _, name = stem.rpartition("/")
        what = folder.removesuffix("s") if folder else "report" if name == "report" else "rows"
        first = "html" if "html" in kinds else kinds[0]
        others = ", ".join(f".{kind}" for kind in kinds if kind != first)
        print(f"{what}: {target.place(f'{stem}.{first}')}{f' (and {others})' if others else ''}")


def describe_report(studies: Sequence[Study], paths: list[str], target: Store) -> dict[str, object]:
    """What was written, and of each study what was counted and what is missing, for `--json`."""
    written = [target.place(path) for path in paths]
    return {"studies": [_describe(study) for study in studies], "written": written}


def _describe(study: Study) -> dict[str, object]:
    """A study in the JSON output."""
    missing = find_missing_trials(study)
    without_rows = (*missing.missing, *missing.blocked)
    return {
        "name": study.name,
        "place": study.store.place(),
        "rows": len(study.rows),
        "done": missing.done,
        "planned": missing.planned,
        "failed": {failure.key: failure.error for failure in missing.failed},
        "missing": {key: missing.explain(key) for key in without_rows},
        "warnings": study.warnings,
    }
