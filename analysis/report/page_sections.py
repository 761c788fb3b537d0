"""The sections of a page after figures and tables: knobs, methods, environment, missing trials,
study file, rows."""

from collections.abc import Sequence

import yaml

from analysis.captions import capitalise
from analysis.reading.load import Study
from analysis.reading.missing_trials import MissingTrials
from analysis.report.page import MethodCard, Section
from analysis.report.rows_as_json import MOST_ROWS
from analysis.series import format_knobs
from analysis.statistics.results import Results

SHOWN = 50  # keys of one kind that the page names; the rest is counted
VALUES = 5  # values of one column that the section on the environment names

CARD_FIELDS = {"paper": "Paper", "kind": "Kind", "cost": "Cost", "when": "Use it when"}
ENVIRONMENT_COLUMNS = {
    "commit": "Commit",
    "versions": "Versions",
    "device": "Device",
    "threads": "Threads of a trial",
    "precision": "Precision",
    "data_digest": "Digest of the data",
}


def list_knobs(results: Results) -> list[Section]:
    """The knobs that are not the default, by the names of the series."""
    knobs = [
        f"{series.label}: {', '.join(format_knobs(series.knobs))}"
        for series in results.series
        if series.knobs != "{}"
    ]
    return [Section("Knobs that are not the default", "list", tuple(knobs))] if knobs else []


def list_method_cards(results: Results) -> list[Section]:
    """The cards of the methods, in the order of legends."""
    methods = dict.fromkeys(series.method for series in results.series)
    cards = [
        _make_card(method, card) for method in methods if (card := results.study.cards.get(method))
    ]
    return [Section("Methods", "cards", tuple(cards))] if cards else []


def _make_card(method: str, card: dict[str, object]) -> MethodCard:
    properties = [
        (title, str(card[field]))
        for field, title in CARD_FIELDS.items()
        if card.get(field) and card[field] != "-"
    ]
    knobs = card.get("knobs")
    if isinstance(knobs, dict) and knobs:
        defaults = ", ".join(f"{knob}={value}" for knob, value in knobs.items())
        properties.append(("Knobs and their defaults", defaults))
    summary = capitalise(str(card.get("summary") or ""))
    return MethodCard(str(card.get("title") or method), f"{summary}.", tuple(properties))


def describe_environment(study: Study) -> list[Section]:
    """What the numbers were measured with."""
    rows = study.rows
    properties: list[tuple[str, str]] = []
    for column, title in ENVIRONMENT_COLUMNS.items():
        values = [str(value) for value in rows[column].dropna().unique()]
        if values:
            more = f" and {len(values) - VALUES} more" if len(values) > VALUES else ""
            properties.append((title, "; ".join(values[:VALUES]) + more))
    started, finished = rows["started"].dropna(), rows["finished"].dropna()
    if len(started) and len(finished):
        properties.append(("First trial began, last one ended", f"{min(started)}, {max(finished)}"))
    attempts = rows.drop_duplicates("key")["attempts"].dropna()
    if len(attempts):
        retried = int((attempts > 1).sum())
        properties.append(("Trials that needed more than one attempt", str(retried)))
    return [Section("Environment", "properties", tuple(properties))] if properties else []


def list_missing(study: Study, missing: MissingTrials) -> list[Section]:
    """What failed, what was not run, what is still to come, and what could not be read."""
    lists = {
        "Failed trials": [
            f"{failure.key}: {failure.error} (attempt {failure.attempts})"
            for failure in missing.failed
        ],
        "Trials not run": [
            f"{key}: not run, because {cause} failed" for key, cause in missing.blocked.items()
        ],
        "Trials without rows so far": [f"{key}: {missing.explain(key)}" for key in missing.missing],
        "Warnings": study.warnings,
    }
    sections = []
    for title, items in lists.items():
        if items:
            more = [f"and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
            sections.append(Section(title, "list", (*items[:SHOWN], *more)))
    return sections


def describe_rows_file(study: Study, formats: Sequence[str]) -> list[Section]:
    """Where all rows are."""
    if "json" not in formats:
        return []
    count = len(study.rows)
    if count <= MOST_ROWS:
        text = f"All {count} rows are in all_results.json, one flat object a row."
    else:
        text = (
            f"All rows are in rows/ of the study. {count:,} of them are too many for "
            "all_results.json unless --format names json."
        )
    return [Section("Rows", "list", (text,))]


def show_study_file(study: Study) -> list[Section]:
    """The study file."""
    if not study.spec:
        return []
    text = yaml.safe_dump(study.spec, sort_keys=False, allow_unicode=True)
    return [Section("Study file", "code", (text,), "With this, the study can be run again.")]
