"""Two studies side by side, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.captions import NOTHING, capitalise, format_interval, format_p
from analysis.series import format_sparsity
from analysis.statistics.comparisons import is_separable
from analysis.tables.cell_text import format_verdict
from analysis.tables.table import Table

if TYPE_CHECKING:
    from analysis.statistics.study_comparison import StudyComparison


def make_two_studies_table(comparison: StudyComparison) -> Table:
    """One row per result that both studies have."""
    cells = comparison.cells
    several = cells[["dataset", "model"]].drop_duplicates().shape[0] > 1
    body = []
    rules = set()
    previous = None
    for cell in cells.itertuples():
        series = (cell.dataset, cell.model, cell.series_a)
        if previous not in (None, series):
            rules.add(len(body))
        previous = series
        first = (f"{cell.dataset}, {cell.model}",) if several else ()
        body.append((*first, *_write_row(cell, comparison.a.metric.decimals)))
    columns = ("Method", "Sparsity (%)", "A", "n", "B", "n", "B less A", "Seeds", "p", "p (Holm)")
    head = (*(("Network",) if several else ()), *columns, "Separable")
    networks = dict.fromkeys(f"{cell.dataset}, {cell.model}" for cell in cells.itertuples())
    name_a, name_b = comparison.name_studies()
    caption = (
        f"{capitalise(comparison.a.metric.heading)}, {'; '.join(networks)}. A: study '{name_a}'; "
        f"B: study '{name_b}'. Means over n seeds and their 95 % intervals, by a model of each "
        "study that shares variances across a setting. Differences by a model of both: paired by "
        "seed where both share at least two seeds, which are then counted, else between all seeds "
        f"of each; p corrected for the {int(cells['p'].notna().sum())} comparisons of this table "
        "(Holm)."
    )
    raw = cells.drop(columns=["cell_a", "cell_b"])
    text_columns = 2 if several else 1
    return Table(
        "versus", "A and B", caption, head, tuple(body), text_columns, frozenset(rules), raw
    )


def _write_row(cell: Any, decimals: int) -> tuple[str, ...]:
    own_rule = pd.isna(cell.sparsity)
    place = format_sparsity(cell.place_a if own_rule else cell.sparsity)
    return (
        str(cell.series_a),
        f"{place} (own rule)" if own_rule else place,
        format_interval(cell.mean_a, cell.low_a, cell.high_a, decimals),
        str(cell.n_a),
        format_interval(cell.mean_b, cell.low_b, cell.high_b, decimals),
        str(cell.n_b),
        format_interval(cell.difference, cell.low, cell.high, decimals, sign=True),
        str(cell.n) if cell.paired else NOTHING,
        format_p(cell.p),
        format_p(cell.adjusted),
        format_verdict(is_separable(pd.Series([cell.adjusted])).iloc[0]),
    )
