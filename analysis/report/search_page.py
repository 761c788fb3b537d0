"""The page of a search: what was tried, what is best, what mattered, and what the best reached on
the test set."""

from collections.abc import Sequence

import pandas as pd
import yaml

from analysis.captions import format_duration, format_interval
from analysis.figures.canvas import KINDS, Picture
from analysis.figures.importance_bars import TRUSTED, draw_importance
from analysis.figures.parallel_coordinates import draw_parallel
from analysis.figures.search_dimensions import draw_searched
from analysis.figures.search_tradeoff import draw_traded
from analysis.method_styles import make_title
from analysis.reading.load import Study
from analysis.reading.missing_trials import Gaps
from analysis.reading.search_data import BEST, Search
from analysis.report.page import Page, Section
from analysis.series import format_sparsity
from analysis.statistics.search_best import find_best, find_confirmed, find_enough
from analysis.statistics.search_importance import FEWEST, correlate_scores, find_importances
from analysis.tables.search_tables import make_best_table, make_candidates_table, make_scores_table


def make_search_page(
    study: Study,
    search: Search,
    gaps: Gaps,
    sections: Sequence[Section],
    *,
    formats: Sequence[str],
    refresh: int = 0,
) -> Page:
    """Everything there is to say of a search, in every state of it.

    Args:
        sections: of the study that the directory is as well: gaps, environment, rows.
    """
    spec = search.spec
    head = f"{make_title(str(spec.get('method')), study.cards)}, {spec.get('model')} on {spec.get('dataset')}"
    foot = f"search {study.name}"
    commits = [str(one) for one in study.rows["commit"].dropna().unique() if one]
    foot += f", commit {', '.join(commits[:3])}" if commits else ""
    pictures = draw_pictures(search, head, foot, formats) if len(search.candidates) else []
    tables = [
        make(search, foot) for make in (make_best_table, make_scores_table, make_candidates_table)
    ]
    best = [
        Section(
            "The best as a study file",
            "code",
            (search.best_text,),
            f"{BEST}: full_study.py runs it as it is.",
        )
    ]
    text = yaml.safe_dump(spec, sort_keys=False, allow_unicode=True)
    asked = [Section("Search file", "code", (text,), "With this, the search can be run again.")]
    lead = str(spec.get("description") or "").strip() or "A search."
    return Page(
        study.name,
        lead,
        tuple(summarise(search, gaps)),
        tuple(pictures),
        tuple(table for table in tables if table.cells),
        (*(best if search.best_text else []), *sections, *asked),
        refresh,
    )


def draw_pictures(search: Search, head: str, foot: str, formats: Sequence[str]) -> list[Picture]:
    """All figures in the formats that are asked for."""
    if set(formats) <= {"tex", "json"}:
        return []
    kinds = tuple(kind for kind in KINDS if kind in formats)
    if "html" in formats and not {"svg", "png"} & set(kinds):
        kinds = (*kinds, "svg")
    confirmed = find_confirmed(search)
    known = confirmed.dropna(subset=search.dimensions, how="all")
    pictures = draw_searched(search, head, foot, known, kinds)
    pictures += draw_traded(search, head, foot, kinds)
    pictures += draw_importance(search, find_importances(search), head, foot, kinds)
    return pictures + draw_parallel(search, head, foot, kinds)


def summarise(search: Search, gaps: Gaps) -> list[str]:
    """What was found, in sentences."""
    told = [_tell_candidates(search)]
    best, confirmed = find_best(search), find_confirmed(search)
    for sparsity in search.sparsities:
        here = best[best["sparsity"] == sparsity]
        told += [_tell_best(search, one, confirmed) for _, one in here.iterrows()]
        told += _tell_range(search, sparsity)
    if len(best) and confirmed.empty:
        told.append("The best has not been trained anew yet: the test set has not been read.")
    told += _tell_importance(search)
    for line in correlate_scores(search).to_dict("records"):
        if line["n"] >= 3:
            told.append(
                f"At {_percent(line['sparsity'])}, the cheap score and the final accuracy have a rank correlation of "
                f"{line['rho']:+.2f} (Spearman, n = {line['n']})."
            )
    if gaps.failed:
        told.append(f"{len(gaps.failed)} trials failed.")
    return told


def _tell_candidates(search: Search) -> str:
    found = search.candidates
    counts = found["outcome"].value_counts()
    parts = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    text = f"{len(found)} candidates at {len(search.sparsities)} sparsities ({parts})"
    text += f", {int(found['epochs'].sum()):,} epochs, {format_duration(float(found['seconds'].sum()))} in workers"
    stopped = found[found["outcome"] == "stopped"]
    longest = found.loc[found["outcome"] == "done", "epochs"].max()
    if len(stopped) and pd.notna(longest):
        spared = longest * len(stopped) - stopped["epochs"].sum()
        text += f"; stopping early spared {100 * spared / (spared + found['epochs'].sum()):.0f} % of the epochs"
    return f"{text}."


def _tell_best(search: Search, one: pd.Series, confirmed: pd.DataFrame) -> str:
    values = ", ".join(
        f"{name}={_value(one[name])}" for name in search.dimensions if pd.notna(one[name])
    )
    images = (
        f" of {int(one['images']):,} validation images"
        if pd.notna(one["images"])
        else " of the validation images"
    )
    text = f"At {_percent(one['sparsity'])}, the best is {values} with {one['val_top1']:.2f} %{images} (one seed)"
    again = confirmed[confirmed["sparsity"] == one["sparsity"]]
    if len(again) == 1:
        test = again.iloc[0]
        reached = format_interval(test["mean"], test["half_width"], 2)
        text += f"; trained anew, it reaches {reached} % on the test set (n = {int(test['n'])})"
    return f"{text}."


def _tell_range(search: Search, sparsity: float) -> list[str]:
    """Where along a dimension networks are disconnected, and from where on more does not show any
    more."""
    here, told = search.at(sparsity), []
    for name in search.dimensions:
        if not search.is_number(name):
            continue
        lost = here.loc[here["outcome"] == "disconnected", name].dropna().astype(float)
        kept = (
            here.loc[here["outcome"].isin(["done", "stopped", "running"]), name]
            .dropna()
            .astype(float)
        )
        if len(lost) and len(kept):
            most, least = float(lost.max()), float(kept.min())
            where = (
                f"all with {name} of at most {most:g}"
                if most < least
                else f"the largest {name} among them {most:g}"
            )
            count = f"{len(lost)} of {len(here)} candidates are disconnected"
            told.append(
                f"At {_percent(sparsity)}, {count}, {where}; the smallest connected has {least:g}."
            )
        enough = find_enough(search, sparsity, name)
        if enough is not None:
            told.append(
                f"At {_percent(sparsity)}, the smallest {name} that the validation images cannot tell from the best is "
                f"{_value(enough[name])} ({enough['val_top1']:.2f} %)."
            )
    return told


def _tell_importance(search: Search) -> list[str]:
    found = find_importances(search)
    if not found:
        return [f"Importance is given from {FEWEST} candidates on at one sparsity."]
    told = []
    for one in found[:1]:  # the others are in the figure
        name, share = max(one.shares.items(), key=lambda pair: pair[1])
        text = f"At {one.where}, {name} explains {100 * share:.0f} % of the variance of places"
        text += f" (n = {one.n}, R² out of bag {one.fit:.2f})"
        told.append(
            f"{text}{'' if one.fit >= TRUSTED else ': too little is learnt to trust this'}."
        )
    return told


def _percent(sparsity: float) -> str:
    return f"{format_sparsity(sparsity)} %"


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
