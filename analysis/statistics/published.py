"""Published numbers beside those of the study: what `published` in a study file names, compared
with the same cell of the study."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.method_styles import find_method_title
from analysis.metrics import find_metric
from analysis.reading.load import Study
from analysis.series import Series, Setting, format_knobs, rank_stage
from analysis.statistics.results import Results, collect_results

# How far the level of an iterated method may lie from a published sparsity: half a point.
NEAR = 0.005
NEEDED = ("dataset", "model", "method", "sparsity", "value", "source")


@dataclass(frozen=True)
class PublishedNumber:
    """One number from the literature; `knobs` is JSON with sorted keys, as in the rows. spread,
    spread_is, n: what stands after ± in the source, which kind of spread that is, and the runs that
    the number is the mean of; None where the source does not say."""

    dataset: str
    model: str
    method: str
    knobs: str
    sparsity: float
    metric: str
    value: float
    source: str
    spread: float | None = None
    spread_is: str | None = None
    n: int | None = None


@dataclass(frozen=True)
class StudyResult:
    """What a published number is compared with; `cell` is None where that was not run."""

    place: str
    method: str
    cell: Any = None


@dataclass(frozen=True)
class PublishedComparison:
    """A published number and ours; `difference` is ours less the published one, None where that was
    not run."""

    published: PublishedNumber
    ours: StudyResult

    @property
    def difference(self) -> float | None:
        """Ours less the published number."""
        cell = self.ours.cell
        return None if cell is None else float(cell.mean) - self.published.value

    def to_row(self) -> dict[str, object]:
        """The comparison as one flat row."""
        names = ("recipe", "mean", "low", "high", "n", "stage", "place")
        ours = {name: getattr(self.ours.cell, name, None) for name in names}
        theirs = {**vars(self.published), "published_n": self.published.n}
        return {**theirs, **ours, "difference": self.difference}


def read_published(study: Study) -> list[PublishedNumber]:
    """The published numbers of a study file; entries that lack something are named in the study's
    warnings."""
    entries = study.spec.get("published") or []
    numbers = []
    for index, entry in enumerate(entries if isinstance(entries, list) else [entries]):
        try:
            numbers.append(_parse_entry(entry, study))
        except (TypeError, ValueError) as error:
            warning = f"skipped entry {index + 1} of 'published': {error}"
            study.warnings.extend([warning] if warning not in study.warnings else [])
    return numbers


def _parse_entry(entry: object, study: Study) -> PublishedNumber:
    """One entry of `published`.

    Raises:
        TypeError, ValueError: it lacks a field, or one has a value that cannot be used.
    """
    fields = entry if isinstance(entry, Mapping) else {}
    if lacking := [name for name in NEEDED if name not in fields]:
        raise ValueError(f"it lacks {', '.join(lacking)}")
    knobs = json.dumps(dict(fields.get("knobs") or {}), sort_keys=True)
    source = str(fields["source"])
    source = f"{source} ({fields['note']})" if fields.get("note") else source
    dataset, model, method = (str(fields[name]) for name in ("dataset", "model", "method"))
    metric = str(fields.get("metric") or "test_top1")
    find_metric(metric, study.rows.head(0))
    sparsity, value = float(fields["sparsity"]), float(fields["value"])
    spread, kind, n = (fields.get(name) for name in ("spread", "spread_is", "n"))
    return PublishedNumber(
        *(dataset, model, method, knobs, sparsity, metric, value, source),
        spread=None if spread is None else float(spread),
        spread_is=None if kind is None else str(kind),
        n=None if n is None else int(n),
    )


def compare_published(results: Results) -> list[PublishedComparison]:
    """The published numbers of the metric of these results, each with ours in every setting it can
    be compared in.

    Ours is the last stage of the same method with the same knobs at the requested sparsity. Of an
    iterated method it is the level next to the published sparsity, at most half a point off.
    """
    numbers = read_published(results.study)
    return [
        PublishedComparison(number, ours)
        for number in numbers
        if number.metric == results.metric.column
        for ours in _find_ours(results, number)
    ]


def collect_published_metrics(results: Results) -> list[Results]:
    """The results of every metric that published numbers are of, in the order of the study file."""
    study = results.study
    collected = []
    for name in dict.fromkeys(number.metric for number in read_published(study)):
        measured = bool(study.rows[name].notna().any())
        metric = find_metric(name, study.rows if measured else study.rows.head(0))
        is_same = name == results.metric.column
        collected.append(results if is_same else collect_results(study, metric))
    return collected


def _find_ours(results: Results, number: PublishedNumber) -> list[StudyResult]:
    """What a published number is compared with, once per setting of its data set and model."""
    title = find_method_title(number.method, results.study.cards)
    knobs = ", ".join(format_knobs(number.knobs))
    method = f"{title} ({knobs})" if knobs else title
    ours: list[StudyResult] = []
    for setting in results.settings:
        if (setting.dataset, setting.model) == (number.dataset, number.model):
            in_setting = _find_in_setting(results, setting, number)
            ours += in_setting or [StudyResult(setting.label, method)]
    return ours or [StudyResult(f"{number.dataset}, {number.model}", method)]


def _find_in_setting(
    results: Results, setting: Setting, number: PublishedNumber
) -> list[StudyResult]:
    """Our results in one setting: of the last measured stage of each series with these knobs."""
    same = [
        series
        for series in results.series
        if series.method == number.method and _drop_retrain(series.knobs) == number.knobs
    ]
    ours = []
    for series in same:
        stages = [
            other
            for other in same
            if other.knobs == series.knobs and (results.cells_of(setting, other)["n"] > 0).any()
        ]
        if stages and series == max(stages, key=lambda stage: rank_stage(stage.stage)):
            cells = results.cells_of(setting, series)
            ours.append(_find_cell(cells, series, setting, number.sparsity))
    return ours


def _find_cell(
    cells: pd.DataFrame, series: Series, setting: Setting, sparsity: float
) -> StudyResult:
    """The cell of a series at a sparsity, or for an iterated method near it."""
    cells = cells[cells["n"] > 0]
    exact = cells[cells["sparsity"] == round(sparsity, 9)]
    cells = cells.assign(off=(cells["place"] - sparsity).abs()).sort_values("off")
    near = cells[cells["iterated"] & (cells["off"] <= NEAR + 1e-9)]
    best = next((exact if len(exact) else near).itertuples(), None)
    return StudyResult(setting.label, series.label, best)


def _drop_retrain(knobs: str) -> str:
    """Knobs without the recipe that `load_study` adds where a method was retrained by several."""
    values = json.loads(knobs)
    return json.dumps(
        {name: value for name, value in values.items() if name != "retrain"}, sort_keys=True
    )
