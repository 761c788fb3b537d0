"""The cells that several tables share: a mean with its interval, a sparsity, a size; and what
captions say of them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from analysis.captions import (
    NOTHING,
    capitalise,
    format_counts,
    format_interval,
)
from analysis.metrics import Metric
from analysis.series import format_sparsity
from analysis.statistics.aggregate import SHIFT
from analysis.statistics.intervals_and_tests import CONFIDENCE
from analysis.statistics.results import Results


def format_cell(cell: Any, metric: Metric) -> str:
    """`mean [low, high]`, followed by `(n/expected)` where seeds are missing."""
    text = (
        NOTHING if cell.n == 0 else format_interval(cell.mean, cell.low, cell.high, metric.decimals)
    )
    return text + format_missing_seeds(cell)


def format_missing_seeds(cell: Any) -> str:
    """` (n/expected)` where seeds are missing, else nothing."""
    missing = pd.notna(cell.expected) and cell.n < cell.expected
    return f" ({cell.n}/{int(cell.expected)})" if missing else ""


def format_place(cell: Any) -> str:
    """The sparsity of a cell as requested, and as reached where that differs or nothing was
    requested."""
    requested, reached = cell.sparsity, cell.sparsity_reached
    if pd.isna(requested):
        return "own rule" if pd.isna(reached) else f"{format_sparsity(reached)} (reached)"
    return format_sparsity(requested) + format_reached(requested, reached)


def format_reached(requested: float, reached: Any) -> str:
    """` (reached 85.00)` where that is not what was requested, else nothing."""
    is_other = pd.notna(reached) and abs(reached - requested) > SHIFT
    return f" (reached {100 * reached:.2f})" if is_other else ""


def format_number(value: Any, factor: float, decimals: int) -> str:
    """A number in other units, with more decimals where it is small: three digits count; a dash
    where there is none."""
    if value is None or pd.isna(value):
        return NOTHING
    scaled = float(value) * factor
    needed = 2 - math.floor(math.log10(abs(scaled))) if scaled else 0
    return f"{scaled:.{min(max(decimals, needed), 8)}f}"


def format_epochs(values: Sequence[float]) -> str:
    """The epochs of one or several networks, as `18` or `24 to 72`; a dash where one is unknown."""
    if not len(values) or any(pd.isna(value) for value in values):
        return NOTHING
    low, high = f"{min(values):g}", f"{max(values):g}"
    return low if low == high else f"{low} to {high}"


def format_verdict(verdict: Any) -> str:
    """A nullable truth value as `yes`, `no` or a dash."""
    return NOTHING if pd.isna(verdict) else "yes" if verdict else "no"


def begin_caption(results: Results) -> str:
    """What is measured, where, and of how many test images accuracies are shares."""
    where = "; ".join(setting.label for setting in results.settings)
    return f"{capitalise(results.metric.heading)}, {where}.{_name_test_images(results)}"


def _name_test_images(results: Results) -> str:
    """How many test images there are, where the metric is an accuracy on them."""
    if results.metric.unit != "%" or "test" not in results.metric.column:
        return ""
    counts = dict.fromkeys(results.test_images(setting) for setting in results.settings)
    texts = ["an unknown number of" if count is None else f"{count:,}" for count in counts]
    return f" {capitalise(' or '.join(texts))} test images."


def explain_cells(cells: pd.DataFrame) -> str:
    """What the numbers are, in the words that this study needs."""
    text = f"Mean over seeds ({format_counts(cells['n'].tolist())})"
    if (cells["n"] > 1).any():
        text += (
            f" and its {100 * CONFIDENCE:g} % interval, by a model of all cells of a setting that "
            "shares their variances"
        )
    text += "; one seed has no interval" if (cells["n"] == 1).any() else ""
    infinite = cells["mean"].isin([math.inf, -math.inf]).any()
    text += "; inf: infinite with some seed, so without interval and test" if infinite else ""
    text += "; (k/n): k of n planned seeds" if (cells["n"] < cells["expected"]).any() else ""
    return f"{text}."


def write_rows(
    results: Results, cells: pd.DataFrame, write: Callable[[Any], Sequence[str]]
) -> tuple[list[tuple[str, ...]], frozenset[int]]:
    """One row of a table per cell, led by its setting where there are several, and which rows begin
    a series."""
    several = len(results.settings) > 1
    rows: list[tuple[str, ...]] = []
    rules = set()
    previous = None
    for cell in cells.itertuples():
        series = (cell.setting_index, cell.series_index)
        if previous not in (None, series):
            rules.add(len(rows))
        previous = series
        row = tuple(write(cell))
        rows.append(
            (results.settings[int(str(cell.setting_index))].label, *row) if several else row
        )
    return rows, frozenset(rules)


def head_setting(results: Results) -> tuple[str, ...]:
    """The heading of the column of settings, where there is one."""
    return ("Setting",) if len(results.settings) > 1 else ()
