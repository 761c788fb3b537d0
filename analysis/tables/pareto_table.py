"""The Pareto fronts as a table: what is not beaten by anything as cheap, for each kind of cost."""

import pandas as pd

from analysis.captions import capitalise
from analysis.statistics.pareto import COSTS, find_results_with_cost
from analysis.statistics.results import Results
from analysis.tables.cell_text import (
    begin_caption,
    explain_cells,
    format_cell,
    format_place,
    head_setting,
)
from analysis.tables.table import Table


def make_pareto_table(results: Results) -> Table:
    """One row per setting, cost and result on its front, the cheapest first."""
    body: list[tuple[str, ...]] = []
    parts = []
    rules = set()
    for setting in results.settings:
        for cost in COSTS:
            points = find_results_with_cost(results, setting, cost)
            front = points[points["front"]] if len(points) else points
            if len(points) < 2 or front["cost"].nunique() < 1:
                continue
            if body:
                rules.add(len(body))
            first = (setting.label,) if len(results.settings) > 1 else ()
            for cell in front.itertuples():
                text = f"{float(str(cell.cost)):.4g}"
                row = (
                    cost.title,
                    str(cell.series),
                    format_place(cell),
                    text,
                    format_cell(cell, results.metric),
                )
                body.append((*first, *row))
            columns = ["dataset", "model", "recipe", "series", "sparsity", "sparsity_reached"]
            columns += ["mean", "low", "high", "n"]
            parts.append(front.assign(against=cost.title)[["against", "cost", *columns]])
    head = (
        *head_setting(results),
        "Against",
        "Method",
        "Sparsity (%)",
        "Cost",
        capitalise(results.metric.heading),
    )
    caption = (
        f"{begin_caption(results)} The networks that none as cheap is better than. "
        f"{explain_cells(results.cells)} The training of a trial is without the dense training it "
        "may start from, which is shared."
    )
    raw = pd.concat(parts) if parts else pd.DataFrame()
    return Table(
        "pareto",
        "Pareto fronts",
        caption,
        head,
        tuple(body),
        len(head_setting(results)) + 2,
        frozenset(rules),
        raw,
    )
