"""The metric by method and sparsity, and the courses of iterated methods, whose levels would blow it up."""

import pandas as pd

from analysis.metrics import Metric
from analysis.series import Series, find_series, find_settings, format_sparsity, select
from analysis.stats import SHIFT
from analysis.tables import (
    NOTHING,
    SIZES,
    Table,
    begin_caption,
    capitalise,
    explain_cells,
    format_cell,
    format_place,
)


def make_accuracy_table(cells: pd.DataFrame, metric: Metric) -> Table:
    """The metric by requested sparsity and series; the longer of the two runs down the page.

    Where methods with one sparsity a trial are there, only their sparsities count; what an iterated method measures in
    between is in `make_levels_table`.
    """
    settings = find_settings(cells)
    sparsities = _find_common(cells)
    shown = cells[cells["sparsity"].isin(sparsities)]
    series = [one for one in find_series(cells) if len(select(shown, one))]
    down = len(sparsities) > len(series)
    body: list[tuple[str, ...]] = []
    rules = set()
    for setting in settings:
        here = select(shown, setting)
        texts = {
            (one.label, sparsity): ", ".join(
                format_cell(cell, metric) for cell in select(here, one).itertuples() if cell.sparsity == sparsity
            )
            for one in series
            for sparsity in sparsities
        }
        if body:
            rules.add(len(body))
        lead = (setting.label,) if len(settings) > 1 else ()
        if down:
            grid = [(format_sparsity(s), *(texts[one.label, s] for one in series)) for s in sparsities]
        else:
            grid = [(one.label, *(texts[one.label, s] for s in sparsities)) for one in series]
        body += [(*lead, *line) for line in grid if any(line[1:])]
    names = [one.label for one in series] if down else [f"{format_sparsity(s)} %" for s in sparsities]
    head = (*(("Setting",) if len(settings) > 1 else ()), "Sparsity (%)" if down else "Method", *names)
    caption = f"{begin_caption(shown, metric)} {explain_cells(shown)}{_tell_shifts(shown)}"
    if left_out := _find_left_out(cells):
        caption += f" All levels of {', '.join(one.label for one in left_out)}: table 'levels'."
    return Table("accuracy", caption, head, tuple(body), len(head) - len(names), frozenset(rules), _drop_sizes(cells))


def make_levels_table(cells: pd.DataFrame, metric: Metric) -> Table:
    """Every level of the series that have levels outside the matrix; no line where there is none."""
    series = _find_left_out(cells)
    found = cells[[key in {(s.method, s.knobs, s.stage) for s in series} for key in _identify(cells)]]
    settings = find_settings(cells)
    body: list[tuple[str, ...]] = []
    rules = set()
    for setting in settings:
        for one in series:
            course = select(select(found, setting), one)
            if len(course) and body:
                rules.add(len(body))
            for cell in course.itertuples():
                level = str(cell.level).replace("<NA>", NOTHING)
                line = (one.label, level, format_place(cell), format_cell(cell, metric), str(cell.n))
                body.append((setting.label, *line) if len(settings) > 1 else line)
    head = (*(("Setting",) if len(settings) > 1 else ()), "Method", "Level", "Sparsity (%)", capitalise(metric), "n")
    caption = f"{begin_caption(found, metric)} {explain_cells(found)}"
    if found["sparsity"].isna().any():
        caption += " (reached): the method's own rule decides how much it prunes; the mean over seeds."
    return Table("levels", caption, head, tuple(body), len(head) - 4, frozenset(rules), _drop_sizes(found))


def _find_common(cells: pd.DataFrame) -> list[float]:
    """The sparsities of the matrix: those of trials that measure one, of all where there is no such trial."""
    asked = cells[cells["sparsity"].notna()]
    single = asked[~asked["iterated"]]
    return sorted(set((single if (single["method"] != "dense").any() else asked)["sparsity"]))


def _find_left_out(cells: pd.DataFrame) -> list[Series]:
    """The series with a level that the matrix does not show."""
    outside = set(_identify(cells[~cells["sparsity"].isin(_find_common(cells))]))
    return [one for one in find_series(cells) if (one.method, one.knobs, one.stage) in outside]


def _tell_shifts(cells: pd.DataFrame) -> str:
    """A sentence on the series that did not reach what was requested."""
    off = (cells["sparsity_reached"] - cells["sparsity"]).abs() > SHIFT
    labels = list(dict.fromkeys(cells.loc[off, "series"]))
    if not labels:
        return ""
    who = ", ".join(labels) if len(labels) <= 3 else f"{len(labels)} of the methods"
    return f" Sparsities are as requested; what {who} reached is in table 'efficiency'."


def _identify(cells: pd.DataFrame) -> list[tuple[str, str, str]]:
    return list(zip(cells["method"], cells["knobs"], cells["stage"], strict=True))


def _drop_sizes(cells: pd.DataFrame) -> pd.DataFrame:
    return cells[[column for column in cells.columns if column not in SIZES or column == "sparsity_reached"]]
