"""The report of a running study, kept current until the study is over."""

import sys
import time
from collections.abc import Sequence

from analysis.reading.load import load
from analysis.reading.missing_trials import find_gaps
from analysis.report.study_report import write_report
from trainables.storage.store import Store

PARTS = ("rows", "failures", "latency")  # the folders whose files change what a report says


def watch(
    place: str,
    target: Store,
    *,
    every: int,
    metric: str,
    formats: Sequence[str],
    bootstrap: bool = False,
    workers: int = 1,
) -> int:
    """Write the report anew whenever results have come, look every so many seconds; 0 when no trial
    is open any more.

    A look that fails, as where a bucket is away for a moment, is told of and repeated. Ctrl-C ends
    it with 130.

    Raises:
        UserError, ValueError, OSError: the first look already failed.
    """
    seen: tuple[str, ...] | None = None
    try:
        while True:
            try:
                now = _list_results(place)
                if now != seen:
                    study = load(place)
                    gaps = find_gaps(study)
                    is_open = gaps.open or not gaps.planned
                    write_report(
                        study,
                        metric,
                        out=target,
                        formats=formats,
                        bootstrap=bootstrap,
                        refresh=every if is_open else 0,
                        workers=workers,
                    )
                    print(
                        f"{time.strftime('%H:%M:%S')} {gaps.summarise()}: {target.place('report.html')}",
                        flush=True,
                    )
                    seen = now
                    if not is_open:
                        return 0
            except (ValueError, OSError) as error:
                if seen is None:
                    raise
                print(f"warning: {error}; looking again in {every} s", file=sys.stderr, flush=True)
            time.sleep(every)
    except KeyboardInterrupt:
        return 130


def _list_results(place: str) -> tuple[str, ...]:
    store = Store.at(place)
    return tuple(path for part in PARTS for path in store.list(part))
