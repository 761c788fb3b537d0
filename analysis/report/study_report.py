"""The report of a study: every figure and table as files, all rows as JSON, and one page that shows
them all."""

from collections.abc import Sequence

from analysis.figures.canvas import Picture
from analysis.metrics import find_metric
from analysis.reading.load import Study
from analysis.reading.missing_trials import MissingTrials, find_missing_trials
from analysis.reading.search_data import load_search
from analysis.report.checklist import make_checklist
from analysis.report.figures_and_tables import list_drawings, make_tables
from analysis.report.fork_pool import run_forked
from analysis.report.page import Page, Section
from analysis.report.page_files import FORMATS, list_page_files
from analysis.report.page_sections import (
    describe_environment,
    describe_rows_file,
    list_knobs,
    list_method_cards,
    list_missing,
    show_study_file,
)
from analysis.report.rows_as_json import MOST_ROWS, encode_rows_as_json
from analysis.report.summary import write_summary
from analysis.statistics.results import collect_results
from analysis.tables.completeness_table import make_gaps_table
from analysis.tables.table import Table
from trainables.storage import layout
from trainables.storage.store import Store

CHECKLIST_NOTE = (
    "What Blalock et al. 2020 (arXiv 2003.03033) ask of a pruning paper, ticked from the data."
)


def make_page(
    study: Study,
    metric: str = "test_top1",
    *,
    formats: Sequence[str] = FORMATS,
    bootstrap: bool = False,
    refresh: int = 0,
    processes: int = 1,
) -> Page:
    """The page of a study, in whatever state the study is; figures are drawn in the formats that
    are asked for.

    With several `processes`, figures are drawn in as many forked processes, byte for byte the same.

    Raises:
        ValueError: no such metric (see `metrics.find_metric`).
    """
    missing = find_missing_trials(study)
    if search := load_search(study):
        # Imported late: importing scikit-learn takes a second.
        from analysis.report.search_page import make_search_page

        shared = [
            *list_missing(study, missing),
            *describe_environment(study),
            *describe_rows_file(study, formats),
        ]
        return make_search_page(study, search, missing, shared, formats=formats, refresh=refresh)
    find_metric(metric, study.rows)
    pictures: list[Picture] = []
    tables: list[Table] = []
    summary = [f"{missing.summarise()}."]
    sections: list[Section] = []
    if len(study.rows):
        pictures, tables, summary, sections = _show_results(
            study, metric, missing, formats=formats, bootstrap=bootstrap, processes=processes
        )
    missing_table = make_gaps_table(study, missing)
    tables += [missing_table] if missing_table.cells else []
    sections += [
        *list_missing(study, missing),
        *show_study_file(study),
        *describe_rows_file(study, formats),
    ]
    lead = str(study.spec.get("description") or "").strip() or "A pruning study."
    return Page(
        study.name, lead, tuple(summary), tuple(pictures), tuple(tables), tuple(sections), refresh
    )


def _show_results(
    study: Study,
    metric: str,
    missing: MissingTrials,
    *,
    formats: Sequence[str],
    bootstrap: bool,
    processes: int,
) -> tuple[list[Picture], list[Table], list[str], list[Section]]:
    """Figures, tables, summary and the first sections of a study that has rows."""
    results = collect_results(study, metric)
    with run_forked(list_drawings(results, formats), processes) as gather:
        tables = make_tables(results, bootstrap=bootstrap)
        summary = write_summary(results, missing)
        points = tuple(make_checklist(results, missing))
        pictures = [picture for drawn in gather() for picture in drawn]
    sections = [
        Section("Checklist", "checklist", points, CHECKLIST_NOTE),
        *list_knobs(results),
        *list_method_cards(results),
        *describe_environment(study),
    ]
    return pictures, tables, summary, sections


def write_report(
    study: Study,
    metric: str = "test_top1",
    *,
    out: Store | None = None,
    formats: Sequence[str] = FORMATS,
    bootstrap: bool = False,
    refresh: int = 0,
    processes: int = 1,
) -> tuple[Page, list[str]]:
    """Make the page and write it below `STUDY/report/` (or `out`); returns it and the written
    paths, relative to that.

    The files are `figures/<name>.{png,pdf,svg,csv}`, `tables/<name>.{md,tex,csv}`,
    `all_results.json`, `report.md` and `report.html`, as far as `formats` names them. Equal studies
    give equal files.

    Raises:
        ValueError: no such metric (see `metrics.find_metric`).
    """
    page = make_page(
        study, metric, formats=formats, bootstrap=bootstrap, refresh=refresh, processes=processes
    )
    files = list_page_files(page, formats)
    if "json" in formats and (len(study.rows) <= MOST_ROWS or set(formats) != set(FORMATS)):
        files["all_results.json"] = encode_rows_as_json(study.rows)
    target = out or study.store.below(layout.REPORT)
    for path, content in files.items():
        target.write(path, content)
    return page, list(files)
