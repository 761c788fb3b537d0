"""The page that compares two studies: figure, table, and what differs in their study files."""

from collections.abc import Sequence

import pandas as pd

from analysis.figures.two_studies import draw_versus
from analysis.reading.load import Study
from analysis.reading.missing_trials import find_missing_trials
from analysis.report.page import Page, Section
from analysis.report.page_files import FORMATS, choose_picture_formats, list_page_files
from analysis.series import flatten
from analysis.statistics.paired_tests import ALPHA, EQUAL
from analysis.statistics.study_comparison import StudyComparison, compare_studies
from analysis.tables.two_studies_table import make_versus_table
from trainables.storage.store import Store


def write_comparison(
    study: Study,
    other: Study,
    metric: str = "test_top1",
    *,
    out: Store,
    formats: Sequence[str] = FORMATS,
) -> tuple[Page, list[str]]:
    """Write figure, table and page of two studies; returns the page and the written paths, relative
    to `out`.

    Raises:
        ValueError: see `compare_studies`.
    """
    comparison = compare_studies(study, other, metric)
    picture_formats = choose_picture_formats(formats)
    pictures = [] if picture_formats is None else draw_versus(comparison, picture_formats)
    sections = [
        Section(f"Study file of {name}", "properties", differences)
        for name, differences in (
            (study.name, _list_differences(study, other)),
            (other.name, _list_differences(other, study)),
        )
        if differences
    ]
    page = Page(
        f"{study.name} and {other.name}",
        f"What study '{other.name}' (B) has over study '{study.name}' (A).",
        tuple(write_comparison_summary(comparison)),
        tuple(pictures),
        (make_versus_table(comparison),),
        tuple(sections),
    )
    files = list_page_files(page, formats)
    for path, content in files.items():
        out.write(path, content)
    return page, list(files)


def write_comparison_summary(comparison: StudyComparison) -> list[str]:
    """The comparison in sentences."""
    a, b, cells = comparison.a, comparison.b, comparison.cells
    sentences = [
        f"{len(cells)} results are in both; {comparison.alone_a} only in A, "
        f"{comparison.alone_b} only in B.",
        f"A: {find_missing_trials(a.study).summarise()}. "
        f"B: {find_missing_trials(b.study).summarise()}.",
        *_describe_differences(cells, higher=a.metric.higher),
    ]
    if comparison.recipes:
        sentences.append(
            "The recipes differ: the differences are those of recipes and code together."
        )
    if a.commits != b.commits:
        commits_a, commits_b = (", ".join(results.commits) or "unknown" for results in (a, b))
        sentences.append(f"A was measured with commit {commits_a}, B with {commits_b}.")
    return sentences


def _describe_differences(cells: pd.DataFrame, *, higher: bool) -> list[str]:
    """How many differences are separable, and the largest one."""
    tested = cells[cells["p"].notna()]
    if tested.empty:
        return ["With one seed nothing can be tested."]
    separable = tested.loc[tested["adjusted"] < ALPHA, "difference"]
    better = int((separable > 0).sum() if higher else (separable < 0).sum())
    largest = tested.iloc[int(tested["difference"].abs().argmax())]
    return [
        f"Of {len(tested)} tested, B is separably better in {better} and separably worse in "
        f"{len(separable) - better} (t-test, Holm, 5 %).",
        f"The largest difference is {largest['difference']:+.2f}, of {largest['series_a']}."
        if abs(largest["difference"]) > EQUAL
        else f"All {len(tested)} means are equal.",
    ]


def _list_differences(study: Study, other: Study) -> tuple[tuple[str, str], ...]:
    """What a study file says otherwise than that of the other study, as name and value."""
    values, other_values = flatten(study.spec), flatten(other.spec)
    return tuple((name, value) for name, value in values.items() if other_values.get(name) != value)
