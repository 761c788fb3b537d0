"""The page that compares two studies: figure, table, and what differs in their study files."""

from collections.abc import Sequence

import pandas as pd

from analysis.captions import format_interval, format_p
from analysis.figures.two_studies import draw_versus
from analysis.reading.load import Study
from analysis.reading.study_completeness import find_missing_trials
from analysis.report.page import Page, Section
from analysis.report.page_files import DEFAULT_FORMATS, choose_picture_formats, list_page_files
from analysis.series import flatten, format_sparsity
from analysis.statistics.comparisons import ALPHA, EQUAL
from analysis.statistics.study_comparison import StudyComparison, compare_studies
from analysis.tables.two_studies_table import make_two_studies_table
from trainables.storage.store import Store

SHOWN = 4  # separable differences that the summary names; table 'versus' has all


def write_comparison(
    study: Study,
    other: Study,
    metric: str = "test_top1",
    *,
    out: Store,
    formats: Sequence[str] = DEFAULT_FORMATS,
) -> tuple[Page, list[str]]:
    """Write figure, table and page of two studies; returns the page and the written paths, relative
    to `out`.

    Raises:
        ValueError: see `compare_studies`.
    """
    comparison = compare_studies(study, other, metric)
    picture_formats = choose_picture_formats(formats)
    pictures = [] if picture_formats is None else draw_versus(comparison, picture_formats)
    name_a, name_b = comparison.name_studies()
    sections = [
        Section(f"Study file of {name}", "properties", differences)
        for name, differences in (
            (name_a, _list_differences(study, other)),
            (name_b, _list_differences(other, study)),
        )
        if differences
    ]
    page = Page(
        f"{name_a} and {name_b}",
        f"What study '{name_b}' (B) has over study '{name_a}' (A).",
        tuple(write_comparison_summary(comparison)),
        tuple(pictures),
        (make_two_studies_table(comparison),),
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
        f"A: {find_missing_trials(a.study, a.metric.column).summarise()}. "
        f"B: {find_missing_trials(b.study, b.metric.column).summarise()}.",
        *_describe_differences(comparison),
    ]
    sentences += _describe_test_sets(comparison)
    if comparison.recipes:
        sentences.append(
            "The recipes differ: the differences are those of recipes and code together."
        )
    if a.commits != b.commits:
        commits_a, commits_b = (", ".join(results.commits) or "unknown" for results in (a, b))
        sentences.append(f"A was measured with commit {commits_a}, B with {commits_b}.")
    return sentences


def _describe_test_sets(comparison: StudyComparison) -> list[str]:
    """Where A and B were not tested on as many images."""
    counts: list[dict[str, int]] = []
    for results in (comparison.a, comparison.b):
        known = [(setting, results.test_images(setting)) for setting in results.settings]
        counts.append({f"{one.dataset}, {one.model}": images for one, images in known if images})
    return [
        f"{name}: A was tested on {images:,} images, B on {counts[1][name]:,}; differences are "
        "those of the test sets, too."
        for name, images in counts[0].items()
        if counts[1].get(name, images) != images
    ]


def _describe_differences(comparison: StudyComparison) -> list[str]:
    """How many differences are separable, and the largest ones with place, interval and p."""
    cells, higher = comparison.cells, comparison.a.metric.higher
    tested = cells[cells["p"].notna()]
    if tested.empty:
        if (cells[["n_a", "n_b"]] > 1).all(axis=1).any():
            return ["No result varies with the seed, so nothing can be tested."]
        return ["With one seed nothing can be tested."]
    is_separable = tested["adjusted"] < ALPHA
    separable = tested.loc[is_separable, "difference"]
    better = int((separable > 0).sum() if higher else (separable < 0).sum())
    sentences = [
        f"Of {len(tested)} tested, B is separably better in {better} and separably worse in "
        f"{len(separable) - better} (p corrected for all of them, Holm, 5 %)."
    ]
    order = tested["difference"].abs().sort_values(ascending=False, kind="stable").index
    if tested.loc[order[0], "difference"] == 0 or tested["difference"].abs().max() <= EQUAL:
        return [*sentences, f"All {len(tested)} means are equal."]
    sentences.append(f"The largest difference: {_describe_cell(comparison, tested.loc[order[0]])}.")
    listed = [index for index in order[1:] if is_separable[index]]
    sentences += [
        f"Also separable: {_describe_cell(comparison, tested.loc[index])}."
        for index in listed[:SHOWN]
    ]
    if more := len(listed) - SHOWN:
        sentences += [f"{more} more are separable: table 'versus'."] if more > 0 else []
    return sentences


def _describe_cell(comparison: StudyComparison, cell: pd.Series) -> str:
    """One difference: where, how large, with its interval and p-value."""
    metric = comparison.a.metric
    difference = format_interval(
        cell["difference"], cell["low"], cell["high"], metric.decimals, sign=True
    )
    unit = "points" if metric.unit == "%" else metric.unit
    sparsity = cell["place_a"] if pd.isna(cell["sparsity"]) else cell["sparsity"]
    where = f"{cell['series_a']} at {format_sparsity(float(sparsity))} %"
    p = format_p(cell["adjusted"])
    return (
        f"{where} ({cell['dataset']}, {cell['model']}), B less A {difference} {unit}".rstrip()
        + f", p {p if p.startswith('<') else f'= {p}'}"
    )


def _list_differences(study: Study, other: Study) -> tuple[tuple[str, str], ...]:
    """What a study file says otherwise than that of the other study, as name and value."""
    values, other_values = flatten(study.spec), flatten(other.spec)
    return tuple((name, value) for name, value in values.items() if other_values.get(name) != value)
