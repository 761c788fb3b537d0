"""Comparisons with p-values: with the dense network, with the best method at each sparsity, and
with each method's own controls."""

from typing import Any

import pandas as pd

from analysis.captions import format_counts, format_interval, format_p
from analysis.statistics.comparisons import (
    ALPHA,
    compare_to_best,
    compare_to_controls,
    compare_to_dense,
    compare_to_longer_dense,
    is_separable,
)
from analysis.statistics.intervals_and_tests import CONFIDENCE
from analysis.statistics.results import Results
from analysis.tables.cell_text import (
    begin_caption,
    format_place,
    format_verdict,
    head_setting,
    write_rows,
)
from analysis.tables.table import Table

IDENTITY = ["dataset", "model", "recipe", "series", "method", "knobs", "stage"]
PLACE = ["series", "setting_index", "series_index", "sparsity", "sparsity_reached"]
NUMBERS = ["difference", "low", "high", "n", "paired", "p", "adjusted"]


def make_dense_table(results: Results) -> Table:
    """Every result against the dense network; no row where there is no dense network."""
    compared = _add_cells(compare_to_dense(results))
    return _make_table(results, compared, "versus-dense", "Against the dense network")


def make_longer_dense_table(results: Results) -> Table:
    """Every result against the dense network that was trained as long as the longest method."""
    compared = _add_cells(compare_to_longer_dense(results))
    title = "Against a dense network trained as long as the longest method"
    return _make_table(results, compared, "versus-dense-longer", title)


def make_best_table(results: Results) -> Table:
    """Every method against the best of its setting and sparsity."""
    compared = _add_cells(compare_to_best(results)).rename(columns={"best": "rival"})
    note = (
        " The best was chosen for its mean out of k methods: p-values are multiplied by k / 2 "
        "before Holm's correction. Controls do not compete."
    )
    return _make_table(results, compared, "versus-best", "Against the best method", "Best", note)


def make_controls_table(results: Results) -> Table:
    """Every method against each of its own controls."""
    compared = compare_to_controls(results).rename(columns={"control": "rival"})
    note = (
        " Random pruning is a control of every unstructured method, a small network trained from "
        "scratch of every structured one; a shuffled mask and re-initialised weights of the method "
        "whose mask they take."
    )
    return _make_table(
        results, compared, "versus-controls", "Against their controls", "Control", note
    )


def _add_cells(compared: pd.DataFrame) -> pd.DataFrame:
    """A comparison with the index of the compared cell as a column."""
    return compared.rename_axis("cell").reset_index()


def _make_table(
    results: Results, compared: pd.DataFrame, name: str, title: str, rival: str = "", note: str = ""
) -> Table:
    """The table of a comparison: `cell`, `NUMBERS`, and where the rival has a heading, `rival`."""
    compared = compared[compared["n"] > 0]
    cells = results.cells.loc[compared["cell"], PLACE].reset_index(drop=True)
    rows = cells.join(compared.reset_index(drop=True))
    rows = rows.sort_values(["setting_index", "series_index", "sparsity"], kind="stable")
    rows["separable"] = is_separable(rows["adjusted"])

    def write(row: Any) -> list[str]:
        texts = [row.series]
        texts += [str(results.cells.at[row.rival, "series"])] if rival else []
        difference = format_interval(
            row.difference, row.low, row.high, results.metric.decimals, sign=True
        )
        texts += [format_place(row), difference, str(row.n)]
        return [*texts, format_p(row.p), format_p(row.adjusted), format_verdict(row.separable)]

    body, rules = write_rows(results, rows, write)
    rivals = (rival,) if rival else ()
    heads = ("Sparsity (%)", "Difference", "n", "p", "p (Holm)", "Separable")
    head = (*head_setting(results), "Method", *rivals, *heads)
    caption = f"{begin_caption(results)} {_explain(rows)}{note}"
    raw = results.cells.loc[rows["cell"], IDENTITY].reset_index(drop=True)
    raw = raw.join(rows[["sparsity", "sparsity_reached", *NUMBERS]].reset_index(drop=True))
    if rival:
        raw[rival.lower()] = results.cells.loc[rows["rival"], "series"].to_numpy()
    text_columns = len(head_setting(results)) + 1 + len(rivals)
    return Table(name, title, caption, head, tuple(body), text_columns, rules, raw)


def _explain(rows: pd.DataFrame) -> str:
    """What the numbers of a comparison are."""
    tested = int(rows["p"].notna().sum())
    unpaired = int((~rows["paired"].astype(bool)).sum())
    text = f"Difference of the means over {format_counts(rows['n'].tolist())} seeds"
    text += ", paired by seed" if not unpaired else f", {unpaired} of them not paired by seed"
    text += (
        f", and its {100 * CONFIDENCE:g} % interval, by a model that shares variances across the "
        f"setting; p two-sided; Holm: corrected for the {tested} comparisons of this table; "
        f"separable: below {ALPHA:.2f} after that."
    )
    return text
