"""The cells that several tables share: a mean with its interval, a sparsity, a size; and what
captions say of them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from analysis.captions import NOTHING, capitalise, format_counts, format_interval
from analysis.metrics import Metric
from analysis.series import format_sparsity
from analysis.statistics.aggregate import SHIFT
from analysis.statistics.intervals_and_tests import CONFIDENCE
from analysis.statistics.results import Results


def format_cell(cell: Any, metric: Metric) -> str:
    """`mean ± half width`, followed by `(n/expected)` where seeds are missing."""
    text = NOTHING if cell.n == 0 else format_interval(cell.mean, cell.half_width, metric.decimals)
    missing = pd.notna(cell.expected) and cell.n < cell.expected
    return f"{text} ({cell.n}/{int(cell.expected)})" if missing else text


def format_place(cell: Any) -> str:
    """The sparsity of a cell as requested, and as reached where that differs or nothing was
    requested."""
    asked, reached = cell.sparsity, cell.sparsity_reached
    if pd.isna(asked):
        return "own rule" if pd.isna(reached) else f"{format_sparsity(reached)} (reached)"
    text = format_sparsity(asked)
    return (
        f"{text} (reached {100 * reached:.2f})"
        if pd.notna(reached) and abs(reached - asked) > SHIFT
        else text
    )


def format_number(value: Any, factor: float, decimals: int) -> str:
    """A number in other units, with more decimals where it is small: three digits count; a dash
    where there is none."""
    if value is None or pd.isna(value):
        return NOTHING
    scaled = float(value) * factor
    needed = 2 - math.floor(math.log10(abs(scaled))) if scaled else 0
    return f"{scaled:.{min(max(decimals, needed), 8)}f}"


def begin_caption(results: Results) -> str:
    """What is measured, and where."""
    where = "; ".join(setting.label for setting in results.settings)
    return f"{capitalise(results.metric.heading)}, {where}."


def explain_cells(cells: pd.DataFrame) -> str:
    """What the numbers are, in the words that this study needs."""
    text = f"Mean over seeds ({format_counts(cells['n'].tolist())})"
    if (cells["n"] > 1).any():
        text += f" ± half width of the {100 * CONFIDENCE:g} % Student t-interval"
    text += "; one seed has no interval" if (cells["n"] == 1).any() else ""
    text += "; (k/n): k of n planned seeds" if (cells["n"] < cells["expected"]).any() else ""
    return f"{text}."


def list_lines(
    results: Results, cells: pd.DataFrame, write: Callable[[Any], Sequence[str]]
) -> tuple[list[tuple[str, ...]], frozenset[int]]:
    """One line per cell, led by its setting where there are several, and which lines begin a
    series."""
    several = len(results.settings) > 1
    lines: list[tuple[str, ...]] = []
    rules = set()
    before = None
    for cell in cells.itertuples():
        here = (cell.setting_index, cell.series_index)
        if before not in (None, here):
            rules.add(len(lines))
        before = here
        line = tuple(write(cell))
        lines.append(
            (results.settings[int(str(cell.setting_index))].label, *line) if several else line
        )
    return lines, frozenset(rules)


def lead(results: Results) -> tuple[str, ...]:
    """The heading of the column of settings, where there is one."""
    return ("Setting",) if len(results.settings) > 1 else ()
