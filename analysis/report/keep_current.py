"""The report of a running study, kept current until the study is over."""

import sys
import time
from collections.abc import Sequence

from analysis.reading.load import load_study
from analysis.reading.study_completeness import find_missing_trials
from analysis.report.study_report import write_report
from trainables.storage import layout
from trainables.storage.store import Store

# The folders whose files change the content of a report.
PARTS = (layout.ROWS, layout.FAILURES, layout.LATENCY)


def keep_report_current(
    place: str,
    target: Store,
    *,
    every: int,
    metric: str,
    formats: Sequence[str],
    bootstrap: bool = False,
    processes: int = 1,
) -> int:
    """Write the report again whenever results have arrived, checked every so many seconds, until no
    trial is open any more; returns the exit code: 0, or 130 after Ctrl-C.

    A check that fails, as where a bucket is out of reach for a moment, is reported and repeated.

    Raises:
        UserError, ValueError, OSError: the first check already failed.
    """
    written: tuple[str, ...] | None = None
    try:
        while True:
            try:
                results = _list_results(place)
                if results != written:
                    is_open = _write_report(
                        place, target, every, metric, formats, bootstrap, processes
                    )
                    written = results
                    if not is_open:
                        return 0
            except (ValueError, OSError) as error:
                if written is None:
                    raise
                print(f"warning: {error}; looking again in {every} s", file=sys.stderr, flush=True)
            time.sleep(every)
    except KeyboardInterrupt:
        return 130


def _write_report(
    place: str,
    target: Store,
    every: int,
    metric: str,
    formats: Sequence[str],
    bootstrap: bool,
    processes: int,
) -> bool:
    """Write the report once; returns whether trials are still open."""
    study = load_study(place)
    missing = find_missing_trials(study)
    is_open = missing.open or not missing.planned
    write_report(
        study,
        metric,
        out=target,
        formats=formats,
        bootstrap=bootstrap,
        refresh=every if is_open else 0,
        processes=processes,
    )
    clock = time.strftime("%H:%M:%S")
    print(f"{clock} {missing.summarise()}: {target.place('report.html')}", flush=True)
    return is_open


def _list_results(place: str) -> tuple[str, ...]:
    """The paths of all files that change the content of a report."""
    store = Store.at(place)
    return tuple(path for part in PARTS for path in store.list(part))
