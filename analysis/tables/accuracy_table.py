"""The metric by method and sparsity."""

import pandas as pd

from analysis.captions import capitalise
from analysis.series import Series, Setting, format_sparsity
from analysis.statistics.aggregate import SHIFT
from analysis.statistics.comparisons import ALPHA, find_leaders
from analysis.statistics.results import Results
from analysis.tables.cell_text import (
    begin_caption,
    explain_cells,
    format_cell,
    format_epochs,
    head_setting,
)
from analysis.tables.table import Table

IDENTITY = ["dataset", "model", "recipe", "series", "method", "knobs", "stage", "sparsity", "level"]
NUMBERS = [
    *("sparsity_reached", "mean", "low", "high", "n", "expected"),
    *("drop", "drop_low", "drop_high", "drop_n", "drop_p", "epochs", "total_epochs"),
]


def make_accuracy_table(results: Results) -> Table:
    """The metric by requested sparsity and series; the longer of the two runs down the page.

    Where there are methods with one sparsity a trial, only their sparsities count; what an iterated
    method measures in between is in `make_levels_table`. Bold: the best method of a setting and
    sparsity, and what is not separable from it.
    """
    sparsities = find_common_sparsities(results)
    shown = results.cells[results.cells["sparsity"].isin(sparsities)]
    series = [
        one_series
        for index, one_series in enumerate(results.series)
        if (shown["series_index"] == index).any()
    ]
    sparsities_run_down = len(sparsities) > len(series)
    leaders = find_leaders(results)
    with_epochs = not sparsities_run_down and bool(shown["total_epochs"].notna().any())
    body: list[tuple[str, ...]] = []
    rules, bold = set(), set()
    for setting in results.settings:
        grid = _Grid(results, setting, series, sparsities, leaders)
        if body:
            rules.add(len(body))
        first = (setting.label,) if len(results.settings) > 1 else ()
        for name, keys in _list_rows(series, sparsities, sparsities_run_down):
            if not any(grid.texts.get(key) for key in keys):
                continue
            row = (*first, name, *((grid.epochs[keys[0][0]],) if with_epochs else ()))
            bold |= {
                (len(body), len(row) + column)
                for column, key in enumerate(keys)
                if key in grid.leading
            }
            body.append((*row, *(grid.texts.get(key, "") for key in keys)))
    across = (
        [one_series.label for one_series in series]
        if sparsities_run_down
        else [f"{format_sparsity(sparsity)} %" for sparsity in sparsities]
    )
    first_heads = ("Sparsity (%)",) if sparsities_run_down else ("Method",)
    head = (*head_setting(results), *first_heads, *(("Epochs",) if with_epochs else ()), *across)
    caption = f"{begin_caption(results)} {explain_cells(shown)}"
    if with_epochs:
        caption += " Epochs: in total, with the dense training that a method starts from."
    caption += _explain_bold(bold) + _explain_shifts(shown)
    if left_out := find_series_with_levels(results):
        names = ", ".join(one_series.label for one_series in left_out)
        caption += f" All levels of {names}: table 'levels'."
    raw = results.cells[[*IDENTITY, *NUMBERS]].assign(bold=results.cells.index.isin(leaders))
    return Table(
        "accuracy",
        f"{capitalise(results.metric.title)} by method and sparsity",
        caption,
        head,
        tuple(body),
        len(head_setting(results)) + 1,
        frozenset(rules),
        raw,
        frozenset(bold),
    )


def find_common_sparsities(results: Results) -> list[float]:
    """The sparsities of the matrix: those of trials that measure one, of all where there is no such
    trial."""
    requested = results.cells[results.cells["sparsity"].notna()]
    single = requested[~requested["iterated"]]
    pruned = ~single["method"].isin(["dense", "dense_longer"])
    return sorted(set((single if pruned.any() else requested)["sparsity"]))


def find_series_with_levels(results: Results) -> list[Series]:
    """The series with a level that the matrix does not show."""
    outside = ~results.cells["sparsity"].isin(find_common_sparsities(results))
    indices = set(results.cells.loc[outside, "series_index"])
    return [series for index, series in enumerate(results.series) if index in indices]


class _Grid:
    """The cells of a setting by series and sparsity: their texts, which of them lead, and the
    epochs of every series."""

    def __init__(
        self,
        results: Results,
        setting: Setting,
        series: list[Series],
        sparsities: list[float],
        leaders: frozenset[int],
    ) -> None:
        self.texts: dict[tuple[Series, float], str] = {}
        self.epochs: dict[Series, str] = {}
        self.leading: set[tuple[Series, float]] = set()
        for one_series in series:
            cells = results.cells_of(setting, one_series)
            cells = cells[cells["sparsity"].isin(sparsities)]
            measured = cells[cells["n"] > 0]
            self.epochs[one_series] = format_epochs(measured["total_epochs"].tolist())
            for cell in cells.itertuples():
                key = (one_series, float(str(cell.sparsity)))
                text = format_cell(cell, results.metric)
                self.texts[key] = f"{self.texts[key]}, {text}" if key in self.texts else text
                if cell.Index in leaders:
                    self.leading.add(key)


def _list_rows(
    series: list[Series], sparsities: list[float], sparsities_run_down: bool
) -> list[tuple[str, list[tuple[Series, float]]]]:
    """The rows of the matrix: what each is called, and the keys of its cells."""
    if sparsities_run_down:
        return [
            (format_sparsity(sparsity), [(one_series, sparsity) for one_series in series])
            for sparsity in sparsities
        ]
    return [
        (one_series.label, [(one_series, sparsity) for sparsity in sparsities])
        for one_series in series
    ]


def _explain_bold(bold: set[tuple[int, int]]) -> str:
    if not bold:
        return ""
    return (
        " Bold: the best method at its sparsity, and those that are not separable from it at "
        f"{100 * ALPHA:.0f} % (table 'versus-best'); controls do not compete."
    )


def _explain_shifts(cells: pd.DataFrame) -> str:
    """A sentence on the series that did not reach what was requested."""
    shifted = (cells["sparsity_reached"] - cells["sparsity"]).abs() > SHIFT
    labels = list(dict.fromkeys(cells.loc[shifted, "series"]))
    if not labels:
        return ""
    who = ", ".join(labels) if len(labels) <= 3 else f"{len(labels)} of the methods"
    return f" Sparsities are as requested; what {who} reached is in table 'efficiency'."
