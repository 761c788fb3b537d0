"""Comparisons paired by seed, with p-values: to the dense network, and to the best method at each
sparsity."""

from typing import Any

import pandas as pd
from scipy.special import stdtrit

from analysis.captions import NOTHING, format_counts, format_interval, format_p
from analysis.statistics.intervals_and_tests import CONFIDENCE
from analysis.statistics.paired_tests import ALPHA, compare_to_best, compare_to_dense
from analysis.statistics.results import Results
from analysis.tables.cell_text import begin_caption, format_place, lead, list_lines
from analysis.tables.table import Table


def make_dense_table(results: Results) -> Table:
    """Every result against the dense network of the same seeds; no line where nothing is paired."""
    return _make_table(
        results, compare_to_dense(results), "versus-dense", "Against the dense network"
    )


def make_best_table(results: Results) -> Table:
    """Every result against the best of its setting and sparsity; no line where nothing is paired."""
    return _make_table(results, compare_to_best(results), "versus-best", "Against the best method")


def _make_table(results: Results, compared: pd.DataFrame, name: str, title: str) -> Table:
    compared = compared[compared["n"] > 0]
    cells = results.cells.loc[
        compared.index, ["series", "setting_index", "series_index", "sparsity", "sparsity_reached"]
    ]
    found = cells.join(compared).sort_values(
        ["setting_index", "series_index", "sparsity"], kind="stable"
    )
    with_best = "best" in found.columns

    def write(cell: Any) -> list[str]:
        texts = [cell.series]
        texts += [str(results.cells.at[cell.best, "series"])] if with_best else []
        texts += [
            format_place(cell),
            format_interval(cell.difference, cell.half_width, 2, sign=True),
            str(cell.n),
        ]
        verdict = NOTHING if pd.isna(cell.adjusted) else "yes" if cell.adjusted < ALPHA else "no"
        return [*texts, format_p(cell.p), format_p(cell.adjusted), verdict]

    body, rules = list_lines(results, found, write)
    versus = ("Best",) if with_best else ()
    head = (
        *lead(results),
        "Method",
        *versus,
        "Sparsity (%)",
        "Difference",
        "n",
        "p",
        "p (Holm)",
        "Separable",
    )
    tested = int(found["p"].notna().sum())
    caption = f"{begin_caption(results)} Differences paired by seed ({format_counts(found['n'].tolist())} pairs), "
    caption += f"mean ± half width of the {100 * CONFIDENCE:g} % Student t-interval; paired t-test, two-sided; Holm: "
    caption += f"corrected for the {tested} comparisons of this table; separable: below {ALPHA:.2f} after that."
    if tested and (least := int(found.loc[found["p"].notna(), "n"].min())) <= 5:
        needed = float(stdtrit(least - 1, 1 - ALPHA / tested / 2))
        caption += f" With n = {least} and this many comparisons the smallest p must come from a mean difference of at "
        caption += f"least {needed:.0f} standard errors to count: few seeds separate little."
    if (found["half_width"] == 0).any():
        caption += " Where all seeds differ by the same there is no spread to test against, and p is 0 or 1."
    if with_best:
        caption += " The best was chosen from the same numbers, which favours it."
    raw = results.cells.loc[
        found.index, ["dataset", "model", "recipe", "series", "method", "knobs", "stage"]
    ]
    raw = raw.join(found.drop(columns=["series", "setting_index", "series_index"]))
    if with_best:
        raw["best"] = raw["best"].map(results.cells["series"])
    text_columns = len(lead(results)) + 1 + len(versus)
    return Table(name, title, caption, head, tuple(body), text_columns, rules, raw)
