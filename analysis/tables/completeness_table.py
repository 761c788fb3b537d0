"""Completeness: which cells of the study miss which seeds, and why."""

import pandas as pd

from analysis.method_styles import find_method_title
from analysis.reading.load import Study
from analysis.reading.missing_trials import MissingTrials, list_missing_trials
from analysis.series import find_settings, format_knobs, format_sparsity
from analysis.tables.table import Table

HEAD = ("Method", "Knobs", "Sparsity (%)", "Seeds", "Why")
SHOWN = 60  # letters of a reason that the table shows; the report names the whole


def make_gaps_table(study: Study, gaps: MissingTrials) -> Table:
    """One line per method, knobs, sparsities and reason with the seeds that are missing; no line
    where all is there."""
    lacking = list_missing_trials(study, gaps)
    body: list[tuple[str, ...]] = []
    if len(lacking):
        lacking["asked"] = [_format_asked(asked) for asked in lacking["sparsities"]]
        lacking["short"] = [_shorten(reason) for reason in lacking["reason"]]
        settings = find_settings(lacking)
        by = ["dataset", "model", "recipe", "method", "knobs", "asked", "short"]
        labels = {(one.dataset, one.model, one.recipe): one.label for one in settings}
        for key, found in lacking.groupby(by, sort=False):
            dataset, model, recipe, method, knobs, asked, reason = map(str, key)
            seeds = ", ".join(str(seed) for seed in sorted(found["seed"]))
            line = (
                find_method_title(method, study.cards),
                ", ".join(format_knobs(knobs)),
                asked,
                seeds,
                reason,
            )
            body.append((labels[dataset, model, recipe], *line) if len(settings) > 1 else line)
    head = ("Setting", *HEAD) if body and len(body[0]) > len(HEAD) else HEAD
    caption = f"Planned trials without results: {gaps.summarise()}."
    raw = lacking.drop(columns=["sparsities", "short"], errors="ignore")
    return Table(
        "gaps",
        "What is missing",
        caption,
        head,
        tuple(body),
        len(head),
        frozenset(),
        pd.DataFrame(raw),
    )


def _format_asked(asked: object) -> str:
    if not isinstance(asked, list) or not asked:
        return "own rule"
    texts = [format_sparsity(float(one)) for one in asked]
    return ", ".join(texts) if len(texts) <= 3 else f"{texts[0]}, ..., {texts[-1]}"


def _shorten(reason: str) -> str:
    if reason.startswith("not run, because"):
        return "not run: the training it starts from failed"
    return reason if len(reason) <= SHOWN else f"{reason[: SHOWN - 3]}..."
