"""The tables of a study: cells made once as text, then written as Markdown, LaTeX (booktabs) or plain lines.

CSV carries the raw numbers, one line per cell of the study, unrounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.metrics import Metric
from analysis.series import find_series, find_settings, format_sparsity, select
from analysis.stats import CELL, LEVEL, PLANNED, SHIFT, summarise

NOTHING = "–"
SIZES = ["sparsity_reached", "params", "nonzero", "bytes", "macs", "effective_macs"]
_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
}


@dataclass(frozen=True)
class Table:
    """A table for readers and the numbers behind it. `name` is its file name and LaTeX label; text columns come first
    and are aligned left, the others right; `rules` are the row numbers before which a line is drawn."""

    name: str
    caption: str
    head: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    text_columns: int
    rules: frozenset[int]
    raw: pd.DataFrame

    def to_text(self) -> str:
        """The table as lines for a terminal."""
        widths = [max(map(len, column)) for column in zip(self.head, *self.cells, strict=True)]
        lines = ["  ".join(self._pad(row, widths)).rstrip() for row in (self.head, *self.cells)]
        return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])

    def to_markdown(self) -> str:
        """The table as GitHub Markdown, caption below."""
        rows = [tuple(cell.replace("|", "\\|") for cell in row) for row in (self.head, *self.cells)]
        widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
        bar = ["-" * w if i < self.text_columns else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
        lines = [self._pad(rows[0], widths), bar, *(self._pad(row, widths) for row in rows[1:])]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{self.caption}\n"

    def to_latex(self) -> str:
        """The table as a LaTeX float; the preamble needs `\\usepackage{booktabs}`."""
        columns = "l" * self.text_columns + "r" * (len(self.head) - self.text_columns)
        body = []
        for index, row in enumerate(self.cells):
            if index in self.rules:
                body.append(r"\midrule")
            body.append(" & ".join(map(escape, row)) + r" \\")
        return "\n".join(
            [
                r"% needs \usepackage{booktabs}",
                r"\begin{table}",
                r"\centering",
                r"\small",
                rf"\caption{{{escape(self.caption)}}}",
                rf"\label{{tab:{self.name}}}",
                rf"\begin{{tabular}}{{{columns}}}",
                r"\toprule",
                " & ".join(map(escape, self.head)) + r" \\",
                r"\midrule",
                *body,
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
                "",
            ]
        )

    def to_csv(self) -> str:
        """The raw numbers, unrounded, one line per cell of the study."""
        return self.raw.to_csv(index=False, lineterminator="\n")

    def _pad(self, row: Sequence[str], widths: Sequence[int]) -> list[str]:
        return [
            cell.ljust(width) if index < self.text_columns else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]


def collect(rows: pd.DataFrame, metric: Metric, *, plan: pd.DataFrame | None = None) -> pd.DataFrame:
    """The frame all tables and figures are made of: `stats.summarise` plus the means of `SIZES` over seeds, `series`,
    the name of the line, and `iterated`, whether its trials measure several levels; sorted by setting, series,
    sparsity, level."""
    cells = summarise(rows, metric.column, plan=plan)
    rounded = rows.assign(sparsity=rows["sparsity"].round(9)).astype(dict.fromkeys(SIZES, float))
    sizes = rounded.groupby(CELL, dropna=False)[SIZES].mean().reset_index()
    cells = cells.merge(sizes, on=CELL, how="left")
    cells = cells.merge(_find_iterated(rows, plan), on=PLANNED[:-1], how="left")
    series = find_series(cells)
    rank = {(one.method, one.knobs, one.stage): index for index, one in enumerate(series)}
    ranks = pd.Series(
        [rank[key] for key in zip(cells["method"], cells["knobs"], cells["stage"], strict=True)], dtype=int
    )
    cells.insert(0, "series", ranks.map({index: one.label for index, one in enumerate(series)}).astype("str"))
    order = ["dataset", "model", "recipe", "rank", "sparsity", "level"]
    return cells.assign(rank=ranks).sort_values(order, ignore_index=True).drop(columns="rank")


def make_efficiency_table(cells: pd.DataFrame, metric: Metric) -> Table:
    """One row per setting, series and sparsity: the metric with its interval, and what the network costs."""
    head: tuple[str, ...] = (
        "Method",
        "Sparsity (%)",
        capitalise(metric),
        "n",
        "Params (M)",
        "Nonzero (M)",
        "Size (MB)",
        "Eff. MACs (M)",
    )
    body: list[tuple[str, ...]] = []
    rules = set()
    settings = find_settings(cells)
    for setting in settings:
        here = select(cells, setting)
        for series in find_series(cells):
            found = select(here, series)
            if len(found) and body:
                rules.add(len(body))
            for cell in found.itertuples():
                sizes = [_millions(cell.params, 3), _millions(cell.nonzero, 3), _millions(cell.bytes, 2)]
                texts = (series.label, format_place(cell), format_cell(cell, metric), str(cell.n), *sizes)
                line = (*texts, _millions(cell.effective_macs, 2))
                body.append((setting.label, *line) if len(settings) > 1 else line)
    if len(settings) > 1:
        head = ("Setting", *head)
    caption = f"{begin_caption(cells, metric)} {explain_cells(cells)} A MB is a million bytes; "
    caption += "effective MACs weigh each layer by its density."
    return Table("efficiency", caption, head, tuple(body), len(head) - 7, frozenset(rules), cells)


def _find_iterated(rows: pd.DataFrame, plan: pd.DataFrame | None) -> pd.DataFrame:
    """For every method with its knobs in every setting, whether one of its trials measures several levels."""
    course = PLANNED[:-1]
    levels = (
        rows.drop_duplicates(["key", "sparsity", "level"]).groupby(["key", *course]).size().reset_index(name="count")
    )
    parts = [levels.assign(iterated=levels["count"] > 1), rows.assign(iterated=rows["sparsity"].isna())]
    if plan is not None and len(plan):
        parts.append(
            plan.assign(iterated=[isinstance(asked, list) and len(asked) != 1 for asked in plan["sparsities"]])
        )
    return pd.concat([part[[*course, "iterated"]] for part in parts]).groupby(course)["iterated"].any().reset_index()


def format_cell(cell: Any, metric: Metric) -> str:
    """`mean ± half width`, followed by `(n/expected)` where seeds are missing."""
    mean, half, n, expected = cell.mean, cell.half_width, cell.n, cell.expected
    text = NOTHING if n == 0 else f"{mean:.{metric.decimals}f}"
    if pd.notna(half):
        text += f" ± {half:.{metric.decimals}f}"
    return f"{text} ({n}/{int(expected)})" if pd.notna(expected) and n < expected else text


def format_counts(counts: Sequence[int]) -> str:
    """The numbers of seeds of some cells, as `n = 3` or `n = 2 to 3`; cells without a value do not count."""
    found = sorted({count for count in counts if count})
    return f"n = {found[0]}" if len(found) == 1 else f"n = {found[0]} to {found[-1]}" if found else "n = 0"


def escape(text: str) -> str:
    """Plain text as LaTeX source."""
    return "".join(_ESCAPES.get(letter, letter) for letter in text)


def capitalise(metric: Metric) -> str:
    """Title and unit of a metric as a heading."""
    return metric.heading[:1].upper() + metric.heading[1:]


def begin_caption(cells: pd.DataFrame, metric: Metric) -> str:
    """What is measured, and where."""
    return f"{capitalise(metric)}, {'; '.join(setting.label for setting in find_settings(cells))}."


def explain_cells(cells: pd.DataFrame) -> str:
    """What the numbers are, in the words that this study needs."""
    text = f"Mean over seeds ({format_counts(cells['n'].tolist())})"
    if (cells["n"] > 1).any():
        text += f" ± half width of the {100 * LEVEL:g} % Student t-interval"
    text += "; one seed has no interval" if (cells["n"] == 1).any() else ""
    text += "; (k/n): k of n planned seeds" if (cells["n"] < cells["expected"]).any() else ""
    return f"{text}."


def format_place(cell: Any) -> str:
    """The sparsity of a cell as requested, and as reached where that differs or nothing was requested."""
    asked, reached = cell.sparsity, cell.sparsity_reached
    if pd.isna(asked):
        return "own rule" if pd.isna(reached) else f"{format_sparsity(reached)} (reached)"
    text = format_sparsity(asked)
    return f"{text} (reached {100 * reached:.2f})" if pd.notna(reached) and abs(reached - asked) > SHIFT else text


def _millions(value: Any, decimals: int) -> str:
    return NOTHING if pd.isna(value) else f"{value / 1e6:.{decimals}f}"
