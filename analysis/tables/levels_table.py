"""Iterated methods: every level that they measure, and their values at the sparsities of others."""

from analysis.captions import NOTHING, capitalise, format_interval
from analysis.series import format_sparsity
from analysis.statistics.results import Results
from analysis.statistics.sparsity_curves import interpolate_between_levels
from analysis.tables.accuracy_table import (
    IDENTITY,
    NUMBERS,
    find_common_sparsities,
    find_series_with_levels,
)
from analysis.tables.cell_text import (
    begin_caption,
    explain_cells,
    format_cell,
    format_epochs,
    format_place,
    head_setting,
    write_rows,
)
from analysis.tables.table import Table


def make_levels_table(results: Results) -> Table:
    """Every level of the series that have levels outside the matrix; no row where there is none."""
    indices = [results.series.index(series) for series in find_series_with_levels(results)]
    cells = results.cells[results.cells["series_index"].isin(indices)]

    def write(cell: object) -> list[str]:
        level = str(cell.level).replace("<NA>", NOTHING)  # type: ignore[attr-defined]
        value = format_cell(cell, results.metric)
        epochs = format_epochs([cell.total_epochs])  # type: ignore[attr-defined]
        return [cell.series, level, format_place(cell), value, str(cell.n), epochs]  # type: ignore[attr-defined]

    body, rules = write_rows(results, cells, write)
    metric = capitalise(results.metric.heading)
    head = (*head_setting(results), "Method", "Level", "Sparsity (%)", metric, "n", "Epochs")
    caption = f"{begin_caption(results)} {explain_cells(cells)}"
    if cells["sparsity"].isna().any():
        caption += (
            " (reached): the method's own rule decides how much it prunes; the mean over seeds."
        )
    caption += " Epochs: in total, up to the level."
    raw = cells[[*IDENTITY, *NUMBERS]]
    title = "Levels of iterated methods"
    return Table("levels", title, caption, head, tuple(body), len(head) - 5, rules, raw)


def make_interpolated_table(results: Results) -> Table:
    """Iterated methods at the sparsities of the others, between two of their own levels; no row
    where nothing lies between. Each seed is interpolated on its own, linear in log density; nothing
    outside the measured range."""
    sparsities = [sparsity for sparsity in find_common_sparsities(results) if sparsity > 0]
    estimates = interpolate_between_levels(results, sparsities)
    used = sorted(set(estimates["sparsity"]))
    body: list[tuple[str, ...]] = []
    for (setting_index, series_index), group in estimates.groupby(
        ["setting_index", "series_index"]
    ):
        texts = {
            estimate["sparsity"]: format_interval(
                estimate["mean"], estimate["low"], estimate["high"], results.metric.decimals
            )
            for estimate in group.to_dict("records")
        }
        label = results.settings[int(str(setting_index))].label
        first = (label,) if len(results.settings) > 1 else ()
        series = results.series[int(str(series_index))].label
        body.append((*first, series, *(texts.get(sparsity, "") for sparsity in used)))
    heads = (f"{format_sparsity(sparsity)} % (interpolated)" for sparsity in used)
    head = (*head_setting(results), "Method", *heads)
    raw = estimates.assign(
        setting=[results.settings[index].label for index in estimates["setting_index"]],
        series=[results.series[index].label for index in estimates["series_index"]],
    )
    columns = ["setting", "series", "sparsity", "mean", "low", "high", "n"]
    caption = (
        f"{begin_caption(results)} Interpolated between the levels of each seed, linear in log "
        "density, only inside the measured range; then mean over seeds and 95 % interval."
    )
    return Table(
        "interpolated",
        "Iterated methods between their levels",
        caption,
        head,
        tuple(body),
        len(head_setting(results)) + 1,
        frozenset(),
        raw[columns],
    )
