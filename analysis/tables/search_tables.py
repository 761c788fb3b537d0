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
    """One line per sparsity and best candidate, with its test accuracy where it was trained anew."""
    best, confirmed = find_best_candidates(search), find_confirmed_best(search)
    body = []
    lines = []
    for one in best.to_dict("records"):
        again = confirmed[(confirmed["sparsity"] == one["sparsity"])]
        again = again[again[search.dimensions].notna().any(axis=1)] if search.dimensions else again
        test = again.iloc[0] if len(again) == 1 else None
        tried = search.candidates_at(one["sparsity"])
        told = format_interval(test["mean"], test["half_width"], 2) if test is not None else NOTHING
        body.append(
            (
                format_sparsity(one["sparsity"]),
                *(_write(one[name]) for name in search.dimensions),
                f"{one['val_top1']:.2f}",
                told,
                str(int(test["n"])) if test is not None else "0",
                f"{one['effective_macs']:,.0f}",
                f"{(tried['outcome'] == 'done').sum()} of {len(tried)}",
            )
        )
        lines.append({**one, "test_mean": None if test is None else test["mean"]})
    head = (
        "Sparsity (%)",
        *search.dimensions,
        "Validation (%)",
        "Test (%)",
        "n",
        "Effective MACs",
        "To the end",
    )
    caption = "The best of the search by validation accuracy (one seed, and the best of many: it flatters), and what it "
    caption += "reached on the test set, mean ± half width of the 95 % Student t-interval over n other seeds. To the end: "
    caption += f"candidates that were trained to the end, of those tried. {foot}."
    return Table(
        "search-best", "The best", caption, head, tuple(body), 1, frozenset(), pd.DataFrame(lines)
    )


def make_candidates_table(search: Search, foot: str) -> Table:
    """One line per candidate, the best of each sparsity first."""
    body: list[tuple[str, ...]] = []
    rules = set()
    parts = []
    for sparsity in search.sparsities:
        here = search.candidates_at(sparsity)
        here = here.assign(place=find_relative_ranks(here)).sort_values(
            ["place", "number"], ascending=[False, True]
        )
        parts.append(here)
        rules |= {len(body)} if body else set()
        for one in here.to_dict("records"):
            body.append(
                (
                    format_sparsity(sparsity),
                    *(_write(one[name]) for name in search.dimensions),
                    str(one["outcome"]),
                    _write(one["reached"], "{:.2f}"),
                    _write(one["epochs"], "{:.0f}"),
                    _write(one["effective_macs"], "{:,.0f}"),
                    _write(one["seconds"], "{:.1f}"),
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
    caption = "All candidates, best first: validation accuracy at the end, or after the epoch they were stopped at; "
    caption += f"seconds in workers. {foot}."
    raw = pd.concat(parts) if parts else search.candidates
    count = len(search.dimensions) + 2
    return Table(
        "search-candidates", "Candidates", caption, head, tuple(body), count, frozenset(rules), raw
    )


def make_scores_table(search: Search, foot: str) -> Table:
    """How well the cheap score told the end; no line where nothing was scored."""
    found = correlate_scores(search)
    body = [
        (
            format_sparsity(one["sparsity"]),
            _write(one["rho"], "{:+.2f}"),
            format_p(one["p"]),
            str(one["n"]),
            str(one["scored"]),
        )
        for one in found.to_dict("records")
    ]
    strategy = search.spec.get("strategy")
    kind = strategy.get("order") if isinstance(strategy, dict) else ""
    caption = f"Spearman's rank correlation of the score '{kind}', taken before training, with the validation accuracy at "
    caption += "the end, over the n candidates trained to it. Only the best scored were trained where the budget is "
    caption += f"smaller than the pool, which hides a part of the correlation. {foot}."
    head = ("Sparsity (%)", "rho", "p", "n", "Scored")
    return Table(
        "search-scores",
        "Does the cheap score tell?",
        caption,
        head,
        tuple(body),
        1,
        frozenset(),
        found,
    )


def _write(value: Any, form: str = "{}") -> str:
    if value is None or value != value:
        return NOTHING
    return f"{value:.4g}" if form == "{}" and isinstance(value, float) else form.format(value)
