"""Two studies side by side, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.captions import NOTHING, capitalise, format_interval, format_p
from analysis.series import format_sparsity
from analysis.statistics.paired_tests import ALPHA
from analysis.tables.table import Table

if TYPE_CHECKING:
    from analysis.statistics.study_comparison import StudyComparison


def make_versus_table(versus: StudyComparison) -> Table:
    """One line per result that both studies have."""
    cells = versus.cells
    several = cells[["dataset", "model"]].drop_duplicates().shape[0] > 1
    body = []
    rules = set()
    before = None
    for cell in cells.itertuples():
        here = (cell.dataset, cell.model, cell.series_a)
        if before not in (None, here):
            rules.add(len(body))
        before = here
        first = (f"{cell.dataset}, {cell.model}",) if several else ()
        body.append((*first, *_write_line(cell, versus.a.metric.decimals)))
    head: tuple[str, ...] = (
        "Method",
        "Sparsity (%)",
        "A",
        "n",
        "B",
        "n",
        "B less A",
        "Pairs",
        "p",
        "p (Holm)",
        "Separable",
    )
    head = (("Network",) if several else ()) + head
    where = "; ".join(dict.fromkeys(f"{cell.dataset}, {cell.model}" for cell in cells.itertuples()))
    caption = f"{capitalise(versus.a.metric.heading)}, {where}. A: study '{versus.a.study.name}'; B: study "
    caption += f"'{versus.b.study.name}'. Mean over seeds ± half width of the 95 % Student t-interval. Differences are "
    caption += "paired by seed where a number of pairs is given, else those of two samples (Welch); p-values of the "
    caption += f"t-test, corrected for the {int(cells['p'].notna().sum())} comparisons of this table (Holm)."
    raw = cells.drop(columns=["cell_a", "cell_b"])
    return Table(
        "versus", "A and B", caption, head, tuple(body), 2 if several else 1, frozenset(rules), raw
    )


def _write_line(cell: Any, decimals: int) -> tuple[str, ...]:
    own = pd.isna(cell.sparsity)
    return (
        str(cell.series_a),
        f"{format_sparsity(cell.place_a)} (own rule)" if own else format_sparsity(cell.sparsity),
        format_interval(cell.mean_a, cell.half_width_a, decimals),
        str(cell.n_a),
        format_interval(cell.mean_b, cell.half_width_b, decimals),
        str(cell.n_b),
        format_interval(cell.difference, cell.half_width, decimals, sign=True),
        str(cell.pairs) if cell.paired else NOTHING,
        format_p(cell.p),
        format_p(cell.adjusted),
        NOTHING if pd.isna(cell.adjusted) else "yes" if cell.adjusted < ALPHA else "no",
    )
