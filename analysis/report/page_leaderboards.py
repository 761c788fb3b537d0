"""The leaderboards at the top of the page: for every sparsity the questions a reader has, each with
its answer, and the methods by rank with the numbers behind it."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.captions import NOTHING, capitalise, format_decimal
from analysis.method_styles import FAMILIES
from analysis.reading.study_completeness import MissingTrials
from analysis.report.page_answers import Answer, answer_questions, format_p_with_sign
from analysis.report.summary_words import spread_evenly
from analysis.series import Setting, format_sparsity
from analysis.statistics.leaderboard import Leaderboard, list_leaderboards
from analysis.statistics.results import Results
from analysis.tables.cell_text import format_missing_seeds, format_reached
from analysis.tables.leaderboard_table import explain_ranks

FIRST = 0.9  # the sparsity that is shown first, or the nearest one
MOST = 12  # sparsities of one setting that the page shows; all are in table 'leaderboard'
HEADINGS = (
    *("Rank", "Method", "Mean", "To the best", "To dense"),
    *("Epochs in total", "Compression", "Speed-up"),
)
DESCENDING = {"Mean", "To the best", "To dense", "Compression", "Speed-up"}


@dataclass(frozen=True)
class BoardCell:
    """One cell: its text, a second line, what it is sorted by, and whether it stands out."""

    text: str
    detail: str = ""
    order: float | None = None
    strong: bool = False


@dataclass(frozen=True)
class BoardRow:
    """One network of a leaderboard."""

    role: str
    kind: str
    label: str
    colour: str
    cells: tuple[BoardCell, ...]


@dataclass(frozen=True)
class Board:
    """The leaderboard of a setting at one sparsity."""

    sparsity: str
    is_first: bool
    answers: tuple[Answer, ...]
    rows: tuple[BoardRow, ...]


@dataclass(frozen=True)
class SettingBoards:
    """The leaderboards of a setting, by rising sparsity."""

    setting: str
    heading: str
    note: str
    boards: tuple[Board, ...]
    headings: tuple[str, ...] = HEADINGS

    @property
    def kinds(self) -> list[str]:
        """The kinds of networks in it, in the order of appearance."""
        return list(dict.fromkeys(row.kind for board in self.boards for row in board.rows))

    @property
    def orders(self) -> list[tuple[str, str]]:
        """What the rows can be sorted by: the headings, and whether the largest comes first."""
        return [(heading, "down" if heading in DESCENDING else "up") for heading in self.headings]


def make_page_leaderboards(results: Results, missing: MissingTrials) -> list[SettingBoards]:
    """The leaderboards of all settings in which something was pruned."""
    every = list_leaderboards(results)
    found = []
    for setting in results.settings:
        boards = [board for board in every if board.setting == setting]
        boards = [board for board in boards if (board.rows["role"] != "baseline").any()]
        if not boards:
            continue
        boards = _choose(boards)
        first = _find_first(boards)
        shown = tuple(
            Board(
                format_sparsity(board.sparsity),
                board is first,
                tuple(answer_questions(results, board.rows, missing)),
                tuple(_make_row(results, row, board.sparsity) for row in board.rows.itertuples()),
            )
            for board in boards
        )
        found.append(
            SettingBoards(
                setting.label,
                capitalise(results.metric.heading),
                _explain(results, setting) + explain_ranks(pd.concat([b.rows for b in boards])),
                shown,
            )
        )
    return found


def _choose(boards: list[Leaderboard]) -> list[Leaderboard]:
    """At most `MOST` leaderboards: the one that is shown first, then those of sparsities that most
    networks have, then those that only iterated methods come by, evenly spread."""
    if len(boards) <= MOST:
        return boards
    shared = [board.sparsity for board in _list_shared(boards)]
    others = [board.sparsity for board in boards if board.sparsity not in shared]
    first = _find_first(boards).sparsity
    shared.remove(first)
    chosen = {first} | spread_evenly(shared, MOST - 1)
    room = MOST - len(chosen)
    chosen |= spread_evenly(others, room) if room > 1 else set(others[:room])
    return [board for board in boards if board.sparsity in chosen]


def _find_first(boards: list[Leaderboard]) -> Leaderboard:
    """The leaderboard that is shown first: the nearest to `FIRST` that most networks have."""
    return min(_list_shared(boards), key=lambda board: abs(board.sparsity - FIRST))


def _list_shared(boards: list[Leaderboard]) -> list[Leaderboard]:
    """The leaderboards with more than half of the networks that the fullest has."""
    most = max(len(board.rows) for board in boards)
    return [board for board in boards if 2 * len(board.rows) > most]


def _explain(results: Results, setting: Setting) -> str:
    """What the numbers of the leaderboards are."""
    images = results.test_images(setting)
    tested = f"{images:,} test images" if images else "an unknown number of test images"
    return (
        f"Means over seeds on {tested}, with 95 % intervals in brackets. Differences in "
        f"{'points' if results.metric.unit == '%' else results.metric.unit or 'the same unit'}, "
        "each with an interval of its own; p pays for all comparisons of its kind (Holm) and for "
        "the choice of the best, so an interval without 0 may have a large p. Separable: p below "
        "0.05. Not separable does not mean equal. Controls and dense networks "
        "have no rank. Epochs in total: of the method and of the dense training it starts from. "
        "Compression: parameters over nonzero ones. Speed-up: measured at batch 1 against the "
        "dense network, and in theory by MACs (multiply-accumulates)."
    )


def _make_row(results: Results, row: Any, sparsity: float) -> BoardRow:
    decimals = results.metric.decimals
    rank = None if pd.isna(row.rank) else float(row.rank)
    detail = FAMILIES.get(row.family, "") if row.role == "method" else row.role
    if row.role != "baseline":
        detail += format_reached(sparsity, row.sparsity_reached)
    cells = (
        BoardCell(NOTHING if rank is None else f"{rank:.0f}", order=rank),
        BoardCell(row.series, detail, strong=row.is_leading),
        BoardCell(
            format_decimal(row.mean, decimals) + format_missing_seeds(row),
            _write_ends(row.low, row.high, decimals),
            row.mean,
            strong=row.is_leading,
        ),
        _write_difference(
            (row.difference_to_best, row.difference_low, row.difference_high),
            row.p_best_adjusted,
            decimals,
        ),
        _write_difference(
            (row.difference_to_dense, row.dense_low, row.dense_high),
            row.p_dense_adjusted,
            decimals,
        ),
        _write_number(row.total_epochs, "{:.0f}"),
        _write_number(row.compression, "{:.1f}×"),
        _write_speed(row),
    )
    colour = results.series[int(row.series_index)].colour
    return BoardRow(row.role, row.kind, row.series, colour, cells)


def _write_ends(low: float, high: float, decimals: int, *, sign: bool = False) -> str:
    if pd.isna(low) or pd.isna(high):
        return ""
    ends = (format_decimal(end, decimals, sign=sign) for end in (low, high))
    return f"[{', '.join(ends)}]"


def _write_difference(difference: tuple[float, float, float], p: float, decimals: int) -> BoardCell:
    """A difference, its p-value beside it and its interval below."""
    value, low, high = difference
    if pd.isna(value):
        return BoardCell(NOTHING)
    text = format_decimal(value, decimals, sign=True)
    tested = f", {format_p_with_sign(p)}" if pd.notna(p) else ""
    return BoardCell(f"{text}{tested}", _write_ends(low, high, decimals, sign=True), value)


def _write_number(value: float, pattern: str) -> BoardCell:
    return BoardCell(NOTHING) if pd.isna(value) else BoardCell(pattern.format(value), order=value)


def _write_speed(row: Any) -> BoardCell:
    """The measured speed-up, and that in theory below."""
    theory = row.theoretical_speedup
    detail = "" if pd.isna(theory) else f"in theory {theory:.1f}×"
    if pd.isna(row.speedup):
        return BoardCell(NOTHING, detail, None if pd.isna(theory) else float(theory))
    return BoardCell(f"{row.speedup:.2f}×", detail, float(row.speedup))
