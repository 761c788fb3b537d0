"""Percentile bootstrap beside the t-interval, for comparison with papers that report it; made only
on request."""

from typing import Any

import pandas as pd

from analysis.captions import NOTHING, format_interval
from analysis.statistics.intervals_and_tests import bootstrap_interval, find_bootstrap_coverage
from analysis.statistics.results import Results
from analysis.tables.cell_text import begin_caption, format_place, lead, list_lines
from analysis.tables.table import Table


def make_bootstrap_table(results: Results) -> Table:
    """One line per measured cell: mean, t-interval, bootstrap interval, and how often the latter
    covers."""
    cells = results.cells[results.cells["n"] > 0]
    seeds = results.values.groupby("cell")["value"]
    found = {int(str(cell)): bootstrap_interval(values) for cell, values in seeds}
    decimals = results.metric.decimals

    def write(cell: Any) -> list[str]:
        interval = found[cell.Index]
        low_high = (
            NOTHING
            if interval is None
            else f"{interval[0]:.{decimals}f} to {interval[1]:.{decimals}f}"
        )
        covers = NOTHING if interval is None else str(find_bootstrap_coverage(cell.n))
        mean = format_interval(cell.mean, cell.half_width, decimals)
        return [cell.series, format_place(cell), mean, low_high, covers, str(cell.n)]

    body, rules = list_lines(results, cells, write)
    head = (*lead(results), "Method", "Sparsity (%)", "t-interval", "Bootstrap", "covers (%)", "n")
    caption = f"{begin_caption(results)} Mean over seeds ± half width of the 95 % Student t-interval, and the 95 % "
    caption += "percentile bootstrap of the same seeds. Covers: how often a bootstrap interval of so many normal values "
    caption += "contains their mean, where it should be 95 %."
    ends = pd.DataFrame(
        [found[index] or (None, None) for index in cells.index],
        columns=["low", "high"],
        index=cells.index,
    )
    raw = cells[
        ["dataset", "model", "recipe", "series", "sparsity", "mean", "half_width", "n"]
    ].join(ends)
    raw["coverage"] = [find_bootstrap_coverage(int(n)) if n > 1 else None for n in cells["n"]]
    return Table(
        "bootstrap",
        "Bootstrap intervals",
        caption,
        head,
        tuple(body),
        len(lead(results)) + 1,
        rules,
        raw,
    )
