"""The tables of a search: its candidates, the best of them, and how well the cheap score told the
end."""

from typing import Any

import pandas as pd

from analysis.captions import NOTHING, format_interval, format_p
from analysis.reading.search_data import Search
from analysis.series import format_sparsity
from analysis.statistics.search_best import find_best_candidates, find_confirmed_best
from analysis.statistics.search_importance import correlate_scores, find_relative_ranks
from analysis.tables.table import Table


def make_best_table(search: Search, foot: str) -> Table:
    """One row per sparsity and best candidate, with its test accuracy where it was trained anew."""
    best, confirmed = find_best_candidates(search), find_confirmed_best(search)
    body = []
    raw = []
    for candidate in best.to_dict("records"):
        again = confirmed[(confirmed["sparsity"] == candidate["sparsity"])]
        again = again[again[search.dimensions].notna().any(axis=1)] if search.dimensions else again
        test = again.iloc[0] if len(again) == 1 else None
        tried = search.candidates_at(candidate["sparsity"])
        reached = (
            NOTHING if test is None else format_interval(test["mean"], test["low"], test["high"], 2)
        )
        body.append(
            (
                format_sparsity(candidate["sparsity"]),
                *(_write(candidate[name]) for name in search.dimensions),
                f"{candidate['val_top1']:.2f}",
                reached,
                str(int(test["n"])) if test is not None else "0",
                f"{candidate['effective_macs']:,.0f}",
                f"{(tried['outcome'] == 'done').sum()} of {len(tried)}",
            )
        )
        raw.append({**candidate, "test_mean": None if test is None else test["mean"]})
    head = (
        "Sparsity (%)",
        *search.dimensions,
        "Validation (%)",
        "Test (%)",
        "n",
        "Effective MACs",
        "To the end",
    )
    caption = (
        "The best of the search by validation accuracy (one seed, and the best of many: it "
        "flatters), and what it reached on the test set: the mean over n other seeds and its 95 % "
        "interval. To the end: candidates that were trained to the end, of those tried. "
        f"{foot}."
    )
    return Table(
        "search-best", "The best", caption, head, tuple(body), 1, frozenset(), pd.DataFrame(raw)
    )


def make_candidates_table(search: Search, foot: str) -> Table:
    """One row per candidate, the best of each sparsity first."""
    body: list[tuple[str, ...]] = []
    rules = set()
    parts = []
    for sparsity in search.sparsities:
        candidates = search.candidates_at(sparsity)
        candidates = candidates.assign(place=find_relative_ranks(candidates)).sort_values(
            ["place", "number"], ascending=[False, True]
        )
        parts.append(candidates)
        rules |= {len(body)} if body else set()
        for candidate in candidates.to_dict("records"):
            body.append(
                (
                    format_sparsity(sparsity),
                    *(_write(candidate[name]) for name in search.dimensions),
                    str(candidate["outcome"]),
                    _write(candidate["reached"], "{:.2f}"),
                    _write(candidate["epochs"], "{:.0f}"),
                    _write(candidate["effective_macs"], "{:,.0f}"),
                    _write(candidate["seconds"], "{:.1f}"),
                )
            )
    head = (
        "Sparsity (%)",
        *search.dimensions,
        "Outcome",
        "Validation (%)",
        "Epochs",
        "Effective MACs",
        "Seconds",
    )
    caption = (
        "All candidates, best first: validation accuracy at the end, or after the epoch they were "
        f"stopped at; seconds in workers. {foot}."
    )
    raw = pd.concat(parts) if parts else search.candidates
    count = len(search.dimensions) + 2
    return Table(
        "search-candidates", "Candidates", caption, head, tuple(body), count, frozenset(rules), raw
    )


def make_scores_table(search: Search, foot: str) -> Table:
    """How well the cheap score told the end; no row where nothing was scored."""
    scores = correlate_scores(search)
    body = [
        (
            format_sparsity(score["sparsity"]),
            _write(score["rho"], "{:+.2f}"),
            format_p(score["p"]),
            str(score["n"]),
            str(score["scored"]),
        )
        for score in scores.to_dict("records")
    ]
    strategy = search.spec.get("strategy")
    kind = strategy.get("order") if isinstance(strategy, dict) else ""
    caption = (
        f"Spearman's rank correlation of the score '{kind}', taken before training, with the "
        "validation accuracy at the end, over the n candidates trained to it. Only the best scored "
        "were trained where the budget is smaller than the pool, which hides a part of the "
        f"correlation. {foot}."
    )
    head = ("Sparsity (%)", "rho", "p", "n", "Scored")
    return Table(
        "search-scores",
        "Does the cheap score tell?",
        caption,
        head,
        tuple(body),
        1,
        frozenset(),
        scores,
    )


def _write(value: Any, form: str = "{}") -> str:
    if value is None or value != value:
        return NOTHING
    return f"{value:.4g}" if form == "{}" and isinstance(value, float) else form.format(value)
