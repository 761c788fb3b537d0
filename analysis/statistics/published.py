"""Published numbers beside ours: what `published` in a study file names, compared with the same
cell of the study."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.method_styles import make_title
from analysis.metrics import find_metric
from analysis.reading.load import Study
from analysis.series import Series, Setting, format_knobs, rank_stage
from analysis.statistics.results import Results, collect

NEAR = (
    0.005  # half a point: how far the level of an iterated method may lie from a published sparsity
)
NEEDED = ("dataset", "model", "method", "sparsity", "value", "source")


@dataclass(frozen=True)
class Published:
    """One number from the literature; `knobs` is JSON with sorted keys, as in the rows."""

    dataset: str
    model: str
    method: str
    knobs: str
    sparsity: float
    metric: str
    value: float
    source: str


@dataclass(frozen=True)
class Match:
    """What of the study a published number is compared with; `cell` is None where that was not run.
    """

    place: str
    method: str
    cell: Any = None


@dataclass(frozen=True)
class Pair:
    """A published number and ours; `difference` is ours less the published one, None where that was
    not run."""

    published: Published
    match: Match

    @property
    def difference(self) -> float | None:
        """Ours less the published number."""
        return (
            None if self.match.cell is None else float(self.match.cell.mean) - self.published.value
        )

    def to_row(self) -> dict[str, object]:
        """The pair as one flat line."""
        names = ("recipe", "mean", "half_width", "n", "stage", "place")
        ours = {name: getattr(self.match.cell, name, None) for name in names}
        return {**vars(self.published), **ours, "difference": self.difference}


def read_published(study: Study) -> list[Published]:
    """The published numbers of a study file; entries that lack something are named in the study's
    warnings."""
    entries = study.spec.get("published") or []
    found = []
    for index, entry in enumerate(entries if isinstance(entries, list) else [entries]):
        lacking = (
            [name for name in NEEDED if name not in entry]
            if isinstance(entry, Mapping)
            else list(NEEDED)
        )
        try:
            if lacking:
                raise ValueError(f"it lacks {', '.join(lacking)}")
            knobs = json.dumps(dict(entry.get("knobs") or {}), sort_keys=True)
            source = (
                f"{entry['source']} ({entry['note']})"
                if entry.get("note")
                else str(entry["source"])
            )
            dataset, model, method = (str(entry[name]) for name in NEEDED[:3])
            metric = str(entry.get("metric") or "test_top1")
            find_metric(metric, study.rows.head(0))
            sparsity, value = float(entry["sparsity"]), float(entry["value"])
            found.append(Published(dataset, model, method, knobs, sparsity, metric, value, source))
        except (TypeError, ValueError) as error:
            warning = f"skipped entry {index + 1} of 'published': {error}"
            study.warnings.extend([warning] if warning not in study.warnings else [])
    return found


def find_pairs(results: Results) -> list[Pair]:
    """The published numbers of the metric of these results, each with ours in every setting it can
    be compared in.

    Ours is the last stage of the same method with the same knobs at the requested sparsity. Of an
    iterated method it is the level next to the published sparsity, at most half a point off.
    """
    numbers = [one for one in read_published(results.study) if one.metric == results.metric.column]
    return [Pair(one, match) for one in numbers for match in _find_matches(results, one)]


def collect_published(results: Results) -> list[Results]:
    """The results of every metric that published numbers are of, in the order of the study file."""
    study = results.study
    found = []
    for name in dict.fromkeys(one.metric for one in read_published(study)):
        measured = bool(study.rows[name].notna().any())
        metric = find_metric(name, study.rows if measured else study.rows.head(0))
        found.append(results if name == results.metric.column else collect(study, metric))
    return found


def _find_matches(results: Results, one: Published) -> list[Match]:
    """Our side of a published number, once per setting of its data set and model."""
    settings = [s for s in results.settings if (s.dataset, s.model) == (one.dataset, one.model)]
    title = make_title(one.method, results.study.cards)
    knobs = ", ".join(format_knobs(one.knobs))
    found: list[Match] = []
    for setting in settings:
        same = [
            s
            for s in results.series
            if s.method == one.method and _drop_retrain(s.knobs) == one.knobs
        ]
        for series in same:
            stages = [
                s
                for s in same
                if s.knobs == series.knobs and (results.of(setting, s)["n"] > 0).any()
            ]
            if stages and series == max(stages, key=lambda s: rank_stage(s.stage)):
                found.append(
                    _find_match(results.of(setting, series), series, setting, one.sparsity)
                )
        if not any(match.place == setting.label for match in found):
            found.append(Match(setting.label, f"{title} ({knobs})" if knobs else title))
    return found or [Match(f"{one.dataset}, {one.model}", f"{title} ({knobs})" if knobs else title)]


def _find_match(cells: pd.DataFrame, series: Series, setting: Setting, sparsity: float) -> Match:
    """The cell of a series at a sparsity, or for an iterated method near it."""
    cells = cells[cells["n"] > 0]
    exact = cells[cells["sparsity"] == round(sparsity, 9)]
    cells = cells.assign(off=(cells["place"] - sparsity).abs()).sort_values("off")
    near = cells[cells["iterated"] & (cells["off"] <= NEAR + 1e-9)]
    best = next((exact if len(exact) else near).itertuples(), None)
    return Match(setting.label, series.label, best)


def _drop_retrain(knobs: str) -> str:
    """Knobs without the recipe that `load` adds where a method was retrained by several."""
    found = json.loads(knobs)
    return json.dumps(
        {name: value for name, value in found.items() if name != "retrain"}, sort_keys=True
    )
