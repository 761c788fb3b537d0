"""The interval of the report beside the plain Student t and the percentile bootstrap, for
comparison with papers that report those; made only on request."""

from typing import Any

import pandas as pd

from analysis.captions import NOTHING, format_decimal, format_interval
from analysis.statistics.intervals_and_tests import bootstrap_interval, find_bootstrap_coverage
from analysis.statistics.results import Results
from analysis.tables.cell_text import begin_caption, format_place, head_setting, write_rows
from analysis.tables.table import Table


def make_bootstrap_table(results: Results) -> Table:
    """One row per measured cell: its mean with three kinds of intervals, and how often the
    bootstrap covers."""
    cells = results.cells[results.cells["n"] > 0]
    seeds = results.values.groupby("cell")["value"]
    bootstraps = {int(str(cell)): bootstrap_interval(values) for cell, values in seeds}
    ends = pd.DataFrame(
        [bootstraps[index] or (None, None) for index in cells.index],
        columns=["bootstrap_low", "bootstrap_high"],
        index=cells.index,
    ).astype(float)
    cells = cells.join(ends)
    cells["t_low"] = cells["mean"] - cells["half_width"]
    cells["t_high"] = cells["mean"] + cells["half_width"]
    decimals = results.metric.decimals

    def write(cell: Any) -> list[str]:
        value = format_interval(cell.mean, cell.low, cell.high, decimals)
        others = [
            NOTHING
            if pd.isna(low)
            else f"[{format_decimal(low, decimals)}, {format_decimal(high, decimals)}]"
            for low, high in (
                (cell.t_low, cell.t_high),
                (cell.bootstrap_low, cell.bootstrap_high),
            )
        ]
        covers = NOTHING if cell.n < 2 else str(find_bootstrap_coverage(cell.n))
        return [cell.series, format_place(cell), value, *others, covers, str(cell.n)]

    body, rules = write_rows(results, cells, write)
    heads = ("Method", "Sparsity (%)", "Mean, shared variances", "Student t", "Bootstrap")
    head = (*head_setting(results), *heads, "Bootstrap covers (%)", "n")
    caption = (
        f"{begin_caption(results)} Mean over seeds with the 95 % interval of this report "
        "(variances shared across the setting), and two plain ones of the cell's own seeds: "
        "Student's t, which may leave 0 to 100 % and has no width where seeds tie, and the "
        "percentile bootstrap. "
        "Bootstrap covers: how often a 95 % bootstrap interval of so many normal values contains "
        "their mean."
    )
    names = ["dataset", "model", "recipe", "series", "sparsity", "mean", "low", "high", "n"]
    raw = cells[[*names, "t_low", "t_high", "bootstrap_low", "bootstrap_high"]].copy()
    raw["coverage"] = [find_bootstrap_coverage(int(n)) if n > 1 else None for n in cells["n"]]
    columns = len(head_setting(results)) + 1
    return Table(
        "bootstrap", "Three kinds of intervals", caption, head, tuple(body), columns, rules, raw
    )
