"""The summary of a search in plain sentences: what was tried, what is best, what mattered, and what
the best reached on the test set."""

import pandas as pd

from analysis.captions import format_duration, format_interval
from analysis.reading.search_data import Search
from analysis.reading.study_completeness import MissingTrials
from analysis.series import format_sparsity
from analysis.statistics.search_best import (
    find_best_candidates,
    find_confirmed_best,
    find_smallest_sufficient,
)
from analysis.statistics.search_importance import (
    FEWEST,
    TRUSTED_FIT,
    correlate_scores,
    find_importances,
)


def write_search_summary(search: Search, missing: MissingTrials) -> list[str]:
    """The sentences of a search."""
    sentences = [_describe_candidates(search)]
    best, confirmed = find_best_candidates(search), find_confirmed_best(search)
    for sparsity in search.sparsities:
        at_sparsity = best[best["sparsity"] == sparsity]
        sentences += [
            _describe_best(search, candidate, confirmed) for _, candidate in at_sparsity.iterrows()
        ]
        for name in search.dimensions:
            if search.is_number(name):
                sentences += _describe_disconnected(search, sparsity, name)
                sentences += _describe_sufficient(search, sparsity, name)
    if len(best) and confirmed.empty:
        sentences.append("The best has not been trained anew yet: the test set has not been read.")
    sentences += [_describe_importance(search), *_describe_scores(search)]
    if missing.failed:
        sentences.append(f"{len(missing.failed)} trials failed.")
    return sentences


def _describe_candidates(search: Search) -> str:
    """How many candidates were tried, how they ended, and what they took."""
    candidates = search.candidates
    outcomes = candidates["outcome"].value_counts()
    counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    epochs = candidates["epochs"].sum()
    text = (
        f"{len(candidates)} candidates at {len(search.sparsities)} sparsities ({counts}), "
        f"{int(epochs):,} epochs, "
        f"{format_duration(float(candidates['seconds'].sum()))} in workers"
    )
    stopped = candidates[candidates["outcome"] == "stopped"]
    longest = candidates.loc[candidates["outcome"] == "done", "epochs"].max()
    if len(stopped) and pd.notna(longest):
        spared = longest * len(stopped) - stopped["epochs"].sum()
        text += f"; stopping early spared {100 * spared / (spared + epochs):.0f} % of the epochs"
    return f"{text}."


def _describe_best(search: Search, best: pd.Series, confirmed: pd.DataFrame) -> str:
    """The best at one sparsity, and what it reached when it was trained anew."""
    values = ", ".join(
        f"{name}={_format_value(best[name])}" for name in search.dimensions if pd.notna(best[name])
    )
    images = f"{int(best['images']):,}" if pd.notna(best["images"]) else "the"
    text = (
        f"At {_percent(best['sparsity'])}, the best is {values} with {best['val_top1']:.2f} % of "
        f"{images} validation images (one seed)"
    )
    again = confirmed[confirmed["sparsity"] == best["sparsity"]]
    if len(again) == 1:
        test = again.iloc[0]
        reached = format_interval(test["mean"], test["low"], test["high"], 2)
        text += f"; trained anew, it reaches {reached} % on the test set (n = {int(test['n'])})"
    return f"{text}."


def _describe_disconnected(search: Search, sparsity: float, name: str) -> list[str]:
    """At which values of a dimension networks are disconnected."""
    candidates = search.candidates_at(sparsity)
    outcomes = candidates["outcome"]
    disconnected = candidates.loc[outcomes == "disconnected", name].dropna().astype(float)
    is_connected = outcomes.isin(["done", "stopped", "running"])
    connected = candidates.loc[is_connected, name].dropna().astype(float)
    if disconnected.empty or connected.empty:
        return []
    largest, smallest = float(disconnected.max()), float(connected.min())
    where = (
        f"all with {name} of at most {largest:g}"
        if largest < smallest
        else f"the largest {name} among them {largest:g}"
    )
    return [
        f"At {_percent(sparsity)}, {len(disconnected)} of {len(candidates)} candidates are "
        f"disconnected, {where}; the smallest connected has {smallest:g}."
    ]


def _describe_sufficient(search: Search, sparsity: float, name: str) -> list[str]:
    """From which value of a dimension on more of it shows no gain."""
    candidate = find_smallest_sufficient(search, sparsity, name)
    if candidate is None:
        return []
    return [
        f"At {_percent(sparsity)}, the smallest {name} that the validation images cannot tell from "
        f"the best is {_format_value(candidate[name])} ({candidate['val_top1']:.2f} %)."
    ]


def _describe_importance(search: Search) -> str:
    """Which dimension explains most, over all sparsities; single sparsities are in the figure."""
    importances = find_importances(search)
    if not importances:
        return f"Importance is given from {FEWEST} candidates on at one sparsity."
    first = importances[0]
    name, share = max(first.shares.items(), key=lambda pair: pair[1])
    trust = "" if first.fit >= TRUSTED_FIT else ": too little is learnt to trust this"
    return (
        f"At {first.where}, {name} explains {100 * share:.0f} % of the variance of places "
        f"(n = {first.n}, R² out of bag {first.fit:.2f}){trust}."
    )


def _describe_scores(search: Search) -> list[str]:
    """How well the cheap score predicts the final accuracy, where there are enough candidates."""
    return [
        f"At {_percent(row['sparsity'])}, the cheap score and the final accuracy have a rank "
        f"correlation of {row['rho']:+.2f} (Spearman, n = {row['n']})."
        for row in correlate_scores(search).to_dict("records")
        if row["n"] >= 3
    ]


def _percent(sparsity: float) -> str:
    return f"{format_sparsity(sparsity)} %"


def _format_value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
