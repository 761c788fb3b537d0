"""Completeness: which cells of the study miss which seeds, and why."""

import pandas as pd

from analysis.method_styles import find_method_title
from analysis.reading.load import Study
from analysis.reading.study_completeness import MissingTrials, list_missing_trials
from analysis.series import find_settings, format_knobs, format_sparsity
from analysis.tables.table import Table

HEAD = ("Method", "Knobs", "Sparsity (%)", "Seeds", "Why")
SHOWN = 60  # letters of a reason that the table shows; the report names the whole


def make_missing_table(study: Study, missing: MissingTrials) -> Table:
    """One row per method, knobs, sparsities and reason with the seeds that are missing, as trials
    or as values of the metric; no row where nothing is missing."""
    lacking = list_missing_trials(study, missing)
    body: list[tuple[str, ...]] = []
    if len(lacking):
        lacking["requested"] = [_format_requested(requested) for requested in lacking["sparsities"]]
        lacking["short"] = [_shorten(reason) for reason in lacking["reason"]]
        settings = find_settings(lacking)
        by = ["dataset", "model", "recipe", "method", "knobs", "requested", "short"]
        labels = {
            (setting.dataset, setting.model, setting.recipe): setting.label for setting in settings
        }
        for key, group in lacking.groupby(by, sort=False):
            dataset, model, recipe, method, knobs, requested, reason = map(str, key)
            seeds = ", ".join(str(seed) for seed in sorted(group["seed"]))
            row = (
                find_method_title(method, study.cards),
                ", ".join(format_knobs(knobs)),
                requested,
                seeds,
                reason,
            )
            body.append((labels[dataset, model, recipe], *row) if len(settings) > 1 else row)
    head = ("Setting", *HEAD) if body and len(body[0]) > len(HEAD) else HEAD
    valueless = f", and trials without a value of {missing.metric}" * bool(missing.valueless_keys)
    caption = f"Planned trials without results{valueless}: {missing.summarise()}."
    raw = lacking.drop(columns=["sparsities", "short"], errors="ignore")
    return Table(
        "missing",
        "What is missing",
        caption,
        head,
        tuple(body),
        len(head),
        frozenset(),
        pd.DataFrame(raw),
    )


def _format_requested(requested: object) -> str:
    if not isinstance(requested, list) or not requested:
        return "own rule"
    texts = [format_sparsity(float(sparsity)) for sparsity in requested]
    return ", ".join(texts) if len(texts) <= 3 else f"{texts[0]}, ..., {texts[-1]}"


def _shorten(reason: str) -> str:
    if reason.startswith("not run, because"):
        return "not run: the training it starts from failed"
    return reason if len(reason) <= SHOWN else f"{reason[: SHOWN - 3]}..."
