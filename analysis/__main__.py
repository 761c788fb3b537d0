"""`python -m analysis STUDY_DIR`: from the rows of a study, also of a running one, to figures, tables and a report."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.load import Study


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 where the study could be read, 2 and one line on stderr for a mistake of the user."""
    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    parser.add_argument("study", metavar="STUDY_DIR", help="study directory, or a URI such as s3://bucket/study")
    parser.add_argument("--metric", default="test_top1", help="column of the rows to show (default: %(default)s)")
    parser.add_argument("--out", metavar="DIR", help="where to write (default: STUDY_DIR/report)")
    given = parser.parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without "±" is no reason to stop

    from analysis.load import NotAStudyError, load

    try:
        return _run(load(given.study), given.metric, given.out)
    except (NotAStudyError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(study: Study, metric: str, out: str | None) -> int:
    """Write the report of a loaded study, and print where it is and its tables but the longest."""
    from analysis.gaps import find_gaps
    from analysis.metrics import find_metric
    from analysis.report import SHOWN, make_tables, summarise_progress, write_report
    from analysis.tables import collect
    from trainables.store import Store

    target = Store.at(out or f"{study.store.uri}/report")
    paths = write_report(study, metric, out=target)
    gaps = find_gaps(study)
    if len(study.rows):
        chosen = find_metric(metric, study.rows)
        for table in make_tables(study, collect(study.rows, chosen, plan=study.plan), chosen):
            if table.name != "efficiency":
                print(f"{table.to_text()}\n\n{table.caption}\n")
        print(f"study '{study.name}': {summarise_progress(gaps)}")
    else:
        print(f"study '{study.name}' has no rows yet: {summarise_progress(gaps)}")
    lines = [f"failed: {one.key}: {one.error}" for one in gaps.failed]
    lines += [f"not run: {key}, because {cause} failed" for key, cause in gaps.blocked.items()]
    print("".join(f"{line}\n" for line in lines[:SHOWN]), end="")
    if len(lines) > SHOWN:
        print(f"and {len(lines) - SHOWN} more, see report.md")
    for warning in study.warnings[:SHOWN]:
        print(f"warning: {warning}", file=sys.stderr)
    places = {"figure": ".png", "table": ".md", "report": "report.md"}
    for path in paths:
        what = next((name for name, ending in reversed(places.items()) if path.endswith(ending)), None)
        also = {"figure": " (and .pdf)", "table": " (and .tex, .csv)"}.get(what or "", "")
        if what:
            print(f"{what}: {target.uri}/{path}{also}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
