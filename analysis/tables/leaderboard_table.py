"""The leaderboard as a table: at every sparsity the methods by rank, with what decides whether a
difference counts; controls and dense networks stand between them without a rank."""

from typing import Any

import pandas as pd

from analysis.captions import NOTHING, capitalise, format_interval, format_p
from analysis.series import format_sparsity
from analysis.statistics.comparisons import ALPHA
from analysis.statistics.leaderboard import list_leaderboards
from analysis.statistics.results import Results
from analysis.tables.cell_text import (
    begin_caption,
    explain_cells,
    format_epochs,
    format_missing_seeds,
    format_number,
    format_reached,
    head_setting,
)
from analysis.tables.table import Table

# Optional columns: shown where something was measured of them. Column, heading, decimals, factor.
OPTIONAL = (
    ("train_macs", "Training (TMACs)", 2, 1e-12),
    ("train_seconds", "Training (s)", 1, 1.0),
    ("compression", "Compression", 1, 1.0),
    ("speedup", "Speed-up", 2, 1.0),
)


def make_leaderboard_table(results: Results) -> Table:
    """One row per setting, sparsity and network, the best first; bold is what is not separable from
    the best method."""
    body: list[tuple[str, ...]] = []
    parts = []
    rules, bold = set(), set()
    boards = list_leaderboards(results)
    whole = pd.concat([board.rows for board in boards]) if boards else pd.DataFrame()
    optional = [column for column in OPTIONAL if len(whole) and whole[column[0]].notna().any()]
    if any(column[0] == "train_macs" for column in optional):
        optional = [column for column in optional if column[0] != "train_seconds"]
    has_controls = bool(len(whole)) and bool(whole["controls"].fillna(0).gt(0).any())
    first_texts = len(head_setting(results)) + 1
    for board in boards:
        rules |= {len(body)} if body else set()
        first = (board.setting.label,) if len(results.settings) > 1 else ()
        for row in board.rows.itertuples():
            if row.is_leading:
                bold |= {(len(body), first_texts + column) for column in (1, 2)}
            texts = (
                _write_sparsity(board.sparsity, row),
                *_write_row(row, results.metric.decimals),
            )
            extra = [
                format_number(getattr(row, name), factor, decimals)
                for name, _, decimals, factor in optional
            ]
            verdict = [_write_controls(row)] if has_controls else []
            body.append((*first, *texts, *extra, *verdict))
        parts.append(board.rows.assign(setting=board.setting.label, sparsity=board.sparsity))
    head = (
        *(*head_setting(results), "Sparsity (%)", "Rank", "Method"),
        *(capitalise(results.metric.heading), "n", "To the best", "p", "To dense", "p", "Epochs"),
        *(heading for _, heading, _, _ in optional),
        *(("Controls beaten",) if has_controls else ()),
    )
    cells = results.cells[results.cells["sparsity"] > 0]
    caption = f"{begin_caption(results)} {explain_cells(cells)} {_explain(has_controls)}"
    caption += explain_ranks(whole)
    hidden = ["cell", "series_index", "is_control"]
    raw = pd.concat(parts).drop(columns=hidden) if parts else pd.DataFrame()
    return Table(
        "leaderboard",
        "Leaderboard",
        caption,
        head,
        tuple(body),
        first_texts + 2,
        frozenset(rules),
        raw,
        frozenset(bold),
    )


def _write_sparsity(sparsity: float, row: Any) -> str:
    """The requested sparsity, and the reached one where a pruned network has another."""
    return format_sparsity(sparsity) + (
        "" if row.role == "baseline" else format_reached(sparsity, row.sparsity_reached)
    )


def _write_row(row: Any, decimals: int) -> list[str]:
    """The columns from the rank to the epochs."""
    value = format_interval(row.mean, row.low, row.high, decimals)
    value += format_missing_seeds(row)
    to_best = format_interval(
        row.difference_to_best, row.difference_low, row.difference_high, decimals, sign=True
    )
    to_dense = format_interval(
        row.difference_to_dense, row.dense_low, row.dense_high, decimals, sign=True
    )
    return [
        *(NOTHING if pd.isna(row.rank) else str(row.rank), row.series, value, str(row.n)),
        *(to_best, format_p(row.p_best_adjusted), to_dense, format_p(row.p_dense_adjusted)),
        format_epochs([row.total_epochs]),
    ]


def _write_controls(row: Any) -> str:
    """How many of its controls a method beats, as `1 of 2`."""
    if pd.isna(row.controls) or not row.controls:
        return NOTHING
    return f"{row.controls_beaten} of {row.controls}"


def explain_ranks(rows: pd.DataFrame) -> str:
    """Sentences on ranks that do not follow from the means alone, where there are such."""
    methods = rows[rows["role"] == "method"] if len(rows) else rows
    if methods.empty:
        return ""
    text = ""
    if methods["is_adjusted"].any():
        text = (
            " Where methods lack seeds that others have, ranks and the best go by means adjusted "
            "for the seeds (least squares), and differences are over the seeds that both have."
        )
    if methods["rank"].isna().any():
        text += " A method of one seed has no rank beside methods of several."
    return text


def _explain(has_controls: bool) -> str:
    """What the columns are."""
    text = (
        "Differences to the best method and to the dense network with 95 % intervals; p corrected "
        "(Holm) for all comparisons of their kind in the study, and for the choice of the best. "
        f"Bold: not separably behind the best at {100 * ALPHA:.0f} %. Controls and dense networks "
        "have no rank. Epochs, and what training took: in total, with the dense training."
    )
    return f"{text} Controls beaten: separably." if has_controls else text
