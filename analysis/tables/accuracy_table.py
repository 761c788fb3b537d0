"""The metric by method and sparsity, and the courses of iterated methods, whose levels would blow
it up."""

import pandas as pd

from analysis.captions import NOTHING, capitalise, format_interval
from analysis.series import Series, Setting, format_sparsity
from analysis.statistics.aggregate import SHIFT
from analysis.statistics.paired_tests import ALPHA, find_leaders
from analysis.statistics.results import Results
from analysis.statistics.sparsity_curves import interpolate_between_levels
from analysis.tables.cell_text import (
    begin_caption,
    explain_cells,
    format_cell,
    format_place,
    lead,
    list_lines,
)
from analysis.tables.table import Table

IDENTITY = ["dataset", "model", "recipe", "series", "method", "knobs", "stage", "sparsity", "level"]
NUMBERS = [
    "sparsity_reached",
    "mean",
    "half_width",
    "n",
    "expected",
    "drop",
    "drop_half_width",
    "drop_n",
    "drop_p",
]


def make_accuracy_table(results: Results) -> Table:
    """The metric by requested sparsity and series; the longer of the two runs down the page.

    Where methods with one sparsity a trial are there, only their sparsities count; what an iterated
    method measures in between is in `make_levels_table`. Bold: the best of a setting and sparsity,
    and what is not separable from it.
    """
    sparsities = find_common(results)
    shown = results.cells[results.cells["sparsity"].isin(sparsities)]
    series = [
        one for index, one in enumerate(results.series) if (shown["series_index"] == index).any()
    ]
    down = len(sparsities) > len(series)
    leaders = find_leaders(results)
    body: list[tuple[str, ...]] = []
    rules, bold = set(), set()
    for setting in results.settings:
        texts, marked = _write_grid(results, setting, series, sparsities, leaders)
        if body:
            rules.add(len(body))
        first = (setting.label,) if len(results.settings) > 1 else ()
        keys: list[list[tuple[Series, float]]]
        if down:
            keys = [[(one, sparsity) for one in series] for sparsity in sparsities]
            names = [format_sparsity(sparsity) for sparsity in sparsities]
        else:
            keys = [[(one, sparsity) for sparsity in sparsities] for one in series]
            names = [one.label for one in series]
        for name, line in zip(names, keys, strict=True):
            if any(texts.get(key) for key in line):
                bold |= {
                    (len(body), len(first) + 1 + at) for at, key in enumerate(line) if key in marked
                }
                body.append((*first, name, *(texts.get(key, "") for key in line)))
    across = (
        [one.label for one in series] if down else [f"{format_sparsity(s)} %" for s in sparsities]
    )
    head = (*lead(results), "Sparsity (%)" if down else "Method", *across)
    caption = (
        f"{begin_caption(results)} {explain_cells(shown)}{_tell_bold(bold)}{_tell_shifts(shown)}"
    )
    if left_out := _find_left_out(results):
        caption += f" All levels of {', '.join(one.label for one in left_out)}: table 'levels'."
    raw = results.cells[[*IDENTITY, *NUMBERS]].assign(bold=results.cells.index.isin(leaders))
    title = f"{capitalise(results.metric.title)} by method and sparsity"
    return Table(
        "accuracy",
        title,
        caption,
        head,
        tuple(body),
        len(lead(results)) + 1,
        frozenset(rules),
        raw,
        frozenset(bold),
    )


def make_levels_table(results: Results) -> Table:
    """Every level of the series that have levels outside the matrix; no line where there is none."""
    lines = [results.series.index(one) for one in _find_left_out(results)]
    found = results.cells[results.cells["series_index"].isin(lines)]

    def write(cell: object) -> list[str]:
        level = str(cell.level).replace("<NA>", NOTHING)  # type: ignore[attr-defined]
        metric = results.metric
        return [cell.series, level, format_place(cell), format_cell(cell, metric), str(cell.n)]  # type: ignore[attr-defined]

    body, rules = list_lines(results, found, write)
    head = (
        *lead(results),
        "Method",
        "Level",
        "Sparsity (%)",
        capitalise(results.metric.heading),
        "n",
    )
    caption = f"{begin_caption(results)} {explain_cells(found)}"
    if found["sparsity"].isna().any():
        caption += (
            " (reached): the method's own rule decides how much it prunes; the mean over seeds."
        )
    raw = found[[*IDENTITY, *NUMBERS]]
    return Table(
        "levels",
        "Levels of iterated methods",
        caption,
        head,
        tuple(body),
        len(head) - 4,
        rules,
        raw,
    )


def make_interpolated_table(results: Results) -> Table:
    """Iterated methods at the sparsities of the others, between two of their own levels; no line
    where nothing lies between. Each seed is interpolated on its own, linear in log density; nothing
    outside the measured range."""
    sparsities = [sparsity for sparsity in find_common(results) if sparsity > 0]
    body: list[tuple[str, ...]] = []
    raw = []
    for setting in results.settings:
        for one in results.series:
            cells = results.cells_of(setting, one)
            if one not in results.last_stages or not cells["iterated"].any():
                continue
            texts = []
            own = set(cells["sparsity"])
            for sparsity in sparsities:
                found = (
                    None
                    if sparsity in own
                    else interpolate_between_levels(results, setting, one, sparsity)
                )
                texts.append(
                    ""
                    if found is None
                    else format_interval(found.mean, found.half_width, results.metric.decimals)
                )
                if found is not None:
                    raw.append(
                        {
                            "setting": setting.label,
                            "series": one.label,
                            "sparsity": sparsity,
                            **vars(found),
                        }
                    )
            if any(texts):
                body.append(
                    (*((setting.label,) if len(results.settings) > 1 else ()), one.label, *texts)
                )
    used = [
        at
        for at in range(len(sparsities))
        if any(line[len(lead(results)) + 1 + at] for line in body)
    ]
    keep = [*range(len(lead(results)) + 1), *(len(lead(results)) + 1 + at for at in used)]
    head = (
        *lead(results),
        "Method",
        *(f"{format_sparsity(sparsity)} % (interpolated)" for sparsity in sparsities),
    )
    caption = f"{begin_caption(results)} Interpolated between the levels of each seed, linear in log density, only "
    caption += "inside the measured range; then mean over seeds ± half width of the 95 % Student t-interval."
    lines = tuple(tuple(line[at] for at in keep) for line in body)
    return Table(
        "interpolated",
        "Iterated methods between their levels",
        caption,
        tuple(head[at] for at in keep),
        lines,
        len(lead(results)) + 1,
        frozenset(),
        pd.DataFrame(raw),
    )


def find_common(results: Results) -> list[float]:
    """The sparsities of the matrix: those of trials that measure one, of all where there is no such
    trial."""
    asked = results.cells[results.cells["sparsity"].notna()]
    single = asked[~asked["iterated"]]
    return sorted(set((single if (single["method"] != "dense").any() else asked)["sparsity"]))


def _write_grid(
    results: Results,
    setting: Setting,
    series: list[Series],
    sparsities: list[float],
    leaders: frozenset[int],
) -> tuple[dict[tuple[Series, float], str], set[tuple[Series, float]]]:
    """The texts of a setting by series and sparsity, and which of them are bold."""
    texts: dict[tuple[Series, float], str] = {}
    marked = set()
    for one in series:
        cells = results.cells_of(setting, one)
        for cell in cells[cells["sparsity"].isin(sparsities)].itertuples():
            key = (one, float(str(cell.sparsity)))
            text = format_cell(cell, results.metric)
            texts[key] = f"{texts[key]}, {text}" if key in texts else text
            if cell.Index in leaders:
                marked.add(key)
    return texts, marked


def _find_left_out(results: Results) -> list[Series]:
    """The series with a level that the matrix does not show."""
    outside = set(
        results.cells.loc[~results.cells["sparsity"].isin(find_common(results)), "series_index"]
    )
    return [one for index, one in enumerate(results.series) if index in outside]


def _tell_bold(bold: set[tuple[int, int]]) -> str:
    if not bold:
        return ""
    return (
        f" Bold: the best at its sparsity, and what a paired t-test does not separate from it at {100 * ALPHA:.0f} % "
        "(Holm over all comparisons to the best, table 'versus-best')."
    )


def _tell_shifts(cells: pd.DataFrame) -> str:
    """A sentence on the series that did not reach what was requested."""
    off = (cells["sparsity_reached"] - cells["sparsity"]).abs() > SHIFT
    labels = list(dict.fromkeys(cells.loc[off, "series"]))
    if not labels:
        return ""
    who = ", ".join(labels) if len(labels) <= 3 else f"{len(labels)} of the methods"
    return f" Sparsities are as requested; what {who} reached is in table 'efficiency'."
