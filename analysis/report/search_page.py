"""The page of a search: figures, tables, the best as a study file, and the search file."""

from collections.abc import Sequence

import yaml

from analysis.figures.canvas import Picture
from analysis.figures.importance_bars import draw_importance
from analysis.figures.parallel_coordinates import draw_parallel
from analysis.figures.search_dimensions import draw_searched
from analysis.figures.search_tradeoff import draw_traded
from analysis.method_styles import find_method_title
from analysis.reading.load import Study
from analysis.reading.search_data import Search
from analysis.reading.study_completeness import MissingTrials
from analysis.report.page import Page, Section
from analysis.report.page_files import choose_picture_formats
from analysis.report.search_findings import write_search_summary
from analysis.statistics.search_best import find_confirmed_best
from analysis.statistics.search_importance import find_importances
from analysis.tables.search_tables import make_best_table, make_candidates_table, make_scores_table
from trainables.storage import layout


def make_search_page(
    study: Study,
    search: Search,
    missing: MissingTrials,
    sections: Sequence[Section],
    *,
    formats: Sequence[str],
    refresh: int = 0,
) -> Page:
    """The page of a search, in whatever state the search is.

    Args:
        sections: of the study that the directory is as well: missing trials, environment, rows.
    """
    spec = search.spec
    title = find_method_title(str(spec.get("method")), study.cards)
    head = f"{title}, {spec.get('model')} on {spec.get('dataset')}"
    commits = [str(commit) for commit in study.rows["commit"].dropna().unique() if commit]
    foot = f"search {study.name}"
    foot += f", commit {', '.join(commits[:3])}" if commits else ""
    pictures = _draw_pictures(search, head, foot, formats) if len(search.candidates) else []
    tables = [
        make(search, foot) for make in (make_best_table, make_scores_table, make_candidates_table)
    ]
    best_note = f"{layout.BEST_FILE}: full_study.py runs it as it is."
    best = Section("The best as a study file", "code", (search.best_text,), best_note)
    text = yaml.safe_dump(spec, sort_keys=False, allow_unicode=True)
    search_file = Section("Search file", "code", (text,), "With this, the search can be run again.")
    return Page(
        study.name,
        str(spec.get("description") or "").strip() or "A search.",
        tuple(write_search_summary(search, missing)),
        tuple(pictures),
        tuple(table for table in tables if table.cells),
        (*([best] if search.best_text else []), *sections, search_file),
        refresh,
    )


def _draw_pictures(search: Search, head: str, foot: str, formats: Sequence[str]) -> list[Picture]:
    """All figures in the formats that are asked for."""
    kinds = choose_picture_formats(formats)
    if kinds is None:
        return []
    confirmed = find_confirmed_best(search).dropna(subset=search.dimensions, how="all")
    return [
        *draw_searched(search, head, foot, confirmed, kinds),
        *draw_traded(search, head, foot, kinds),
        *draw_importance(search, find_importances(search), head, foot, kinds),
        *draw_parallel(search, head, foot, kinds),
    ]
