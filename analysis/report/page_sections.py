"""The sections of a page after figures and tables: images, methods, environment, missing trials,
study file, rows."""

from collections.abc import Sequence

import yaml

from analysis.captions import capitalise
from analysis.reading.load import Study
from analysis.reading.study_completeness import MissingTrials
from analysis.report.page import MethodCard, Section
from analysis.report.rows_as_json import MOST_ROWS
from analysis.series import Series, Setting, flatten, format_knobs
from analysis.statistics.data_sizes import find_data_sizes
from analysis.statistics.results import Results

SHOWN = 50  # keys of one kind that the page names; the rest is counted
VALUES = 5  # values of one column that the section on the environment names

CARDS_NOTE = "Knobs are those of this study."
CARD_FIELDS = {"paper": "Paper", "kind": "Kind", "cost": "Cost", "when": "Use it when"}
ENVIRONMENT_COLUMNS = {
    "commit": "Commit",
    "versions": "Versions",
    "device": "Device",
    "threads": "Threads of a trial",
    "precision": "Precision",
    "data_digest": "Digest of the data",
}


def describe_data(results: Results) -> list[Section]:
    """How many images the networks of each setting were trained, validated and tested on."""
    properties = tuple(
        (setting.label, _describe_images(results, setting)) for setting in results.settings
    )
    return [Section("Images", "properties", properties)] if properties else []


def _describe_images(results: Results, setting: Setting) -> str:
    """The sizes of the splits of a setting."""
    sizes = find_data_sizes(results, setting)
    counts = {"train": sizes.training, "validate": sizes.validation, "test": sizes.test}
    return ", ".join(
        f"{'an unknown number' if count is None else f'{count:,}'} to {purpose} on"
        for purpose, count in counts.items()
    )


def list_method_cards(results: Results) -> list[Section]:
    """The cards of the methods, in the order of legends, with the knobs that this study ran."""
    methods: dict[str, list[Series]] = {}
    for series in results.series:
        of_method = methods.setdefault(series.method, [])
        if series.knobs not in [other.knobs for other in of_method]:
            of_method.append(series)
    cards = [
        _make_card(method, card, of_method)
        for method, of_method in methods.items()
        if (card := results.study.cards.get(method))
    ]
    without_card = [
        MethodCard(of_method[0].label, "", _list_knobs(of_method, {}))
        for method, of_method in methods.items()
        if method not in results.study.cards and any(one.knobs != "{}" for one in of_method)
    ]
    every = (*cards, *without_card)
    return [Section("Methods", "cards", every, CARDS_NOTE)] if every else []


def _make_card(method: str, card: dict[str, object], of_method: list[Series]) -> MethodCard:
    properties = [
        (title, str(card[field]))
        for field, title in CARD_FIELDS.items()
        if card.get(field) and card[field] != "-"
    ]
    defaults = card.get("knobs")
    knobs = _list_knobs(of_method, defaults if isinstance(defaults, dict) else {})
    summary = capitalise(str(card.get("summary") or ""))
    return MethodCard(str(card.get("title") or method), f"{summary}.", (*properties, *knobs))


def _list_knobs(
    of_method: list[Series], defaults: dict[str, object]
) -> tuple[tuple[str, str], ...]:
    """The knobs of every series of a method as they were in this study; where one is not the
    default, that is added in brackets."""
    usual = flatten({str(name): value for name, value in defaults.items()})
    properties = []
    for series in of_method:
        chosen = dict(knob.split("=", 1) for knob in format_knobs(series.knobs))
        texts = []
        for name, value in {**usual, **chosen}.items():
            is_other = name in usual and name in chosen and chosen[name] != usual[name]
            texts.append(
                f"{name}={value} (default {usual[name]})" if is_other else f"{name}={value}"
            )
        if texts:
            heading = "Knobs" if len(of_method) == 1 else f"Knobs of {series.label}"
            properties.append((heading, ", ".join(texts)))
    return tuple(properties)


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
    """What failed, what was not run, what is still to come, what has no value, and what could not
    be read."""
    lists = {
        "Failed trials": [
            f"{failure.key}: {failure.error} (attempt {failure.attempts})"
            for failure in missing.failed
        ],
        "Trials not run": [
            f"{key}: not run, because {cause} failed" for key, cause in missing.blocked.items()
        ],
        "Trials without rows so far": [f"{key}: {missing.explain(key)}" for key in missing.missing],
        f"Trials without a value of {missing.metric}": [
            f"{key}: {missing.explain(key)}" for key in missing.valueless_keys
        ],
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
        text = (
            f"All {count} rows are in all_results.json, one flat object a row, unique by key, "
            "level and stage; all_results_fields.json has the units of its fields."
        )
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
