"""Published numbers beside ours: what `published` in a study file names, compared with the same cell of the study."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.load import Study
from analysis.looks import make_title
from analysis.metrics import Metric, find_metric
from analysis.series import (
    Series,
    Setting,
    find_series,
    find_settings,
    format_knobs,
    format_sparsity,
    rank_stage,
    select,
)
from analysis.stats import LEVEL, SHIFT, find_places
from analysis.tables import NOTHING, Table, collect, format_cell

NEAR = 0.005  # half a point: how far the level of an iterated method may lie from a published sparsity
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
    """What of the study a published number is compared with; `cell` is None where that was not run."""

    place: str
    method: str
    cell: Any = None


def read_published(study: Study) -> list[Published]:
    """The published numbers of a study file; entries that lack something are named in the study's warnings."""
    entries = study.spec.get("published") or []
    found = []
    for index, entry in enumerate(entries if isinstance(entries, list) else [entries]):
        lacking = [name for name in NEEDED if name not in entry] if isinstance(entry, Mapping) else list(NEEDED)
        try:
            if lacking:
                raise ValueError(f"it lacks {', '.join(lacking)}")
            knobs = json.dumps(dict(entry.get("knobs") or {}), sort_keys=True)
            source = f"{entry['source']} ({entry['note']})" if entry.get("note") else str(entry["source"])
            dataset, model, method = (str(entry[name]) for name in NEEDED[:3])
            metric = str(entry.get("metric") or "test_top1")
            find_metric(metric, study.rows.head(0))
            sparsity, value = float(entry["sparsity"]), float(entry["value"])
            found.append(Published(dataset, model, method, knobs, sparsity, metric, value, source))
        except (TypeError, ValueError) as error:
            warning = f"skipped entry {index + 1} of 'published': {error}"
            study.warnings.extend([warning] if warning not in study.warnings else [])
    return found


def make_published_table(study: Study) -> Table:
    """One line per published number and setting it can be compared in; no line where the study file names none.

    Ours is the last stage of the same method with the same knobs at the requested sparsity. Of an iterated method it is
    the level next to the published sparsity, at most half a point off.
    """
    numbers = read_published(study)
    body: list[tuple[str, ...]] = []
    raw: list[dict[str, object]] = []
    for name in dict.fromkeys(one.metric for one in numbers):
        measured = bool(study.rows[name].notna().any())
        metric = find_metric(name, study.rows if measured else study.rows.head(0))
        cells = collect(study.rows, metric, plan=study.plan)
        cells["place"] = find_places(cells)
        for one in (number for number in numbers if number.metric == name):
            for match in _find_matches(cells, one):
                difference = None if match.cell is None else match.cell.mean - one.value
                body.append(_write_line(one, match, metric, difference))
                ours = {key: getattr(match.cell, key, None) for key in ("recipe", "mean", "half_width", "n")}
                ours |= {"stage": getattr(match.cell, "stage", None), "place": getattr(match.cell, "place", None)}
                raw.append({**vars(one), **ours, "difference": difference})
    head: tuple[str, ...] = (
        "Network",
        "Method",
        "Source",
        "Metric",
        "Sparsity (%)",
        "Published",
        "Ours",
        "n",
        "Difference",
    )
    caption = f"Published numbers and ours, mean over seeds ± half width of the {100 * LEVEL:g} % Student t-interval; "
    caption += "difference: ours less the published number."
    if len({line[3] for line in body}) == 1:
        caption = f"{body[0][3][:1].upper()}{body[0][3][1:]}. {caption}"
        head, body = _drop_metric(head), [_drop_metric(line) for line in body]
    return Table("published", caption, head, tuple(body), len(head) - 5, frozenset(), pd.DataFrame(raw))


def _find_matches(cells: pd.DataFrame, one: Published) -> list[Match]:
    """Our side of a published number, once per setting of its data set and model."""
    settings = [s for s in find_settings(cells) if (s.dataset, s.model) == (one.dataset, one.model)]
    title = make_title(one.method)
    knobs = ", ".join(format_knobs(one.knobs))
    found: list[Match] = []
    for setting in settings:
        same = [s for s in find_series(cells) if s.method == one.method and _drop_retrain(s.knobs) == one.knobs]
        here = select(cells, setting)
        for series in same:
            stages = [s for s in same if s.knobs == series.knobs and (select(here, s)["n"] > 0).any()]
            if stages and series == max(stages, key=lambda s: rank_stage(s.stage)):
                found.append(_find_match(here, series, setting, one.sparsity))
        if not any(match.place == setting.label for match in found):
            found.append(Match(setting.label, f"{title} ({knobs})" if knobs else title))
    return found or [Match(f"{one.dataset}, {one.model}", f"{title} ({knobs})" if knobs else title)]


def _find_match(here: pd.DataFrame, series: Series, setting: Setting, sparsity: float) -> Match:
    """The cell of a series at a sparsity, or for an iterated method near it."""
    cells = select(here, series)
    cells = cells[cells["n"] > 0]
    exact = cells[cells["sparsity"] == round(sparsity, 9)]
    cells = cells.assign(off=(cells["place"] - sparsity).abs()).sort_values("off")
    near = cells[cells["iterated"] & (cells["off"] <= NEAR + 1e-9)]
    best = next((exact if len(exact) else near).itertuples(), None)
    return Match(setting.label, series.label, best)


def _write_line(one: Published, match: Match, metric: Metric, difference: float | None) -> tuple[str, ...]:
    sparsity = format_sparsity(one.sparsity)
    lead = (match.place, match.method, one.source, metric.heading)
    if match.cell is None or difference is None:
        return (*lead, sparsity, f"{one.value:g}", "not run", "0", NOTHING)
    if abs(match.cell.place - one.sparsity) > SHIFT:
        sparsity += f" (ours {100 * match.cell.place:.2f})"
    signed = f"{difference:+.{metric.decimals}f}"
    return (*lead, sparsity, f"{one.value:g}", format_cell(match.cell, metric), str(match.cell.n), signed)


def _drop_metric(line: tuple[str, ...]) -> tuple[str, ...]:
    """A line without its fourth cell."""
    return (*line[:3], *line[4:])


def _drop_retrain(knobs: str) -> str:
    """Knobs without the recipe that `load` adds where a method was retrained by several."""
    found = json.loads(knobs)
    return json.dumps({name: value for name, value in found.items() if name != "retrain"}, sort_keys=True)
