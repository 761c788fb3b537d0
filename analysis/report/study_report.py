"""The report of a study: every figure and table as files, all rows as JSON, and one page that shows
them all."""

from collections.abc import Sequence
from dataclasses import replace

from analysis.figures.canvas import find_boxed_letters
from analysis.figures.inline_accuracy import draw_inline_accuracy
from analysis.metrics import find_metric
from analysis.reading.load import Study
from analysis.reading.search_data import load_search
from analysis.reading.study_completeness import MissingTrials, find_missing_trials
from analysis.report.checklist import make_checklist
from analysis.report.figures_and_tables import list_drawings, make_tables
from analysis.report.fork_pool import run_forked
from analysis.report.page import Page, Section
from analysis.report.page_files import DEFAULT_FORMATS, list_page_files
from analysis.report.page_leaderboards import make_page_leaderboards
from analysis.report.page_sections import (
    describe_data,
    describe_environment,
    describe_rows_file,
    list_method_cards,
    list_missing,
    show_study_file,
)
from analysis.report.rows_as_json import MOST_ROWS, encode_fields_as_json, encode_rows_as_json
from analysis.report.summary import write_summary
from analysis.statistics.leaderboard import list_leaderboards
from analysis.statistics.results import Results, collect_results
from analysis.tables.completeness_table import make_missing_table
from trainables.storage import layout
from trainables.storage.store import Store

BOXED = 12  # letters that the warning of boxes names
CHECKLIST_NOTE = (
    "What Blalock et al. 2020 (arXiv 2003.03033) ask of a pruning paper, ticked from the data."
)


def make_page(
    study: Study,
    metric: str = "test_top1",
    *,
    formats: Sequence[str] = DEFAULT_FORMATS,
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
    if search := load_search(study):
        # Imported late: importing scikit-learn takes a second.
        from analysis.report.search_page import make_search_page

        missing = find_missing_trials(study)
        shared = [
            *list_missing(study, missing),
            *describe_environment(study),
            *describe_rows_file(study, formats),
        ]
        return make_search_page(study, search, missing, shared, formats=formats, refresh=refresh)
    find_metric(metric, study.rows)
    missing = find_missing_trials(study, metric)
    lead = str(study.spec.get("description") or "").strip() or "A pruning study."
    page = Page(study.name, lead, (f"{missing.summarise()}.",), (), (), (), refresh)
    if len(study.rows):
        page = _add_results(
            page, study, metric, missing, formats=formats, bootstrap=bootstrap, processes=processes
        )
    missing_table = make_missing_table(study, missing)
    sections = [
        *page.sections,
        *list_missing(study, missing),
        *show_study_file(study),
        *describe_rows_file(study, formats),
    ]
    tables = (*page.tables, *([missing_table] if missing_table.cells else []))
    return replace(page, tables=tables, sections=tuple(sections))


def _add_results(
    page: Page,
    study: Study,
    metric: str,
    missing: MissingTrials,
    *,
    formats: Sequence[str],
    bootstrap: bool,
    processes: int,
) -> Page:
    """The page with leaderboards, figures, tables, summary and the first sections of a study that
    has rows."""
    results = collect_results(study, metric)
    drawings = list_drawings(results, formats)
    if drawings:
        _warn_of_boxes(results)
    list_leaderboards(results)  # compares all with all, which figures and tables need in common
    with run_forked(drawings, processes) as gather:
        tables = make_tables(results, bootstrap=bootstrap)
        summary = write_summary(results, missing)
        points = tuple(make_checklist(results, missing))
        boards = tuple(make_page_leaderboards(results, missing))
        drawn_inline = [draw_inline_accuracy(results, setting) for setting in results.settings]
        pictures = [picture for drawn in gather() for picture in drawn]
    sections = (
        Section("Checklist", "checklist", points, CHECKLIST_NOTE),
        *describe_data(results),
        *list_method_cards(results),
        *describe_environment(study),
    )
    return replace(
        page,
        summary=tuple(summary),
        pictures=tuple(pictures),
        tables=tuple(tables),
        sections=sections,
        leaderboards=boards,
        main_figures=tuple(figure for figure in drawn_inline if figure is not None),
    )


def _warn_of_boxes(results: Results) -> None:
    """Say so where names have letters that figures cannot show."""
    series = [one.label for one in results.series]
    settings = [one.label for one in results.settings]
    if boxed := find_boxed_letters([results.study.name, *series, *settings]):
        shown = f"{boxed[:BOXED]} ..." if len(boxed) > BOXED else boxed
        results.study.warnings.append(
            f"figures show boxes for letters of this study's names that their font lacks: {shown}"
        )


def write_report(
    study: Study,
    metric: str = "test_top1",
    *,
    out: Store | None = None,
    formats: Sequence[str] = DEFAULT_FORMATS,
    bootstrap: bool = False,
    refresh: int = 0,
    processes: int = 1,
) -> tuple[Page, list[str]]:
    """Make the page and write it below `STUDY/report/` (or `out`); returns it and the written
    paths, relative to that.

    The files are `figures/<name>.{png,pdf,svg,csv}`, `tables/<name>.{md,tex,csv}`,
    `all_results.json` with `all_results_fields.json`, `report.md` and `report.html`, as far as
    `formats` names them. Equal studies give equal files.

    Raises:
        ValueError: no such metric (see `metrics.find_metric`).
    """
    page = make_page(
        study, metric, formats=formats, bootstrap=bootstrap, refresh=refresh, processes=processes
    )
    files = list_page_files(page, formats)
    if "json" in formats and (len(study.rows) <= MOST_ROWS or set(formats) != set(DEFAULT_FORMATS)):
        files["all_results.json"] = encode_rows_as_json(study.rows)
        files["all_results_fields.json"] = encode_fields_as_json(study.rows)
    target = out or study.store.below(layout.REPORT)
    for path, content in files.items():
        target.write(path, content)
    return page, list(files)
