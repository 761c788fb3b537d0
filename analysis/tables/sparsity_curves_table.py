"""How far each method can be pruned: its critical sparsity and the area under its curve, compared
between methods."""

from typing import Any

import pandas as pd

from analysis.captions import NOTHING, format_interval, format_p
from analysis.series import format_sparsity
from analysis.statistics.results import Results
from analysis.statistics.sparsity_curves import (
    TOLERANCE,
    compare_areas,
    compare_critical_sparsities,
)
from analysis.tables.cell_text import begin_caption, head_setting
from analysis.tables.table import Table

KEYS = ["setting_index", "series_index"]


def make_sparsity_curves_table(results: Results) -> Table:
    """One row per setting and method (last stage) with at least two sparsities or a critical
    one."""
    percent = results.metric.unit == "%"
    areas = compare_areas(results)
    critical = compare_critical_sparsities(results) if percent else areas.head(0)[KEYS]
    both = critical.merge(areas, on=KEYS, how="outer", suffixes=("_critical", "_area"))
    both = both.sort_values(KEYS, ignore_index=True)
    decimals = results.metric.decimals
    body: list[tuple[str, ...]] = []
    rules = set()
    previous = None
    for row in both.itertuples():
        if previous not in (None, row.setting_index):
            rules.add(len(body))
        previous = row.setting_index
        setting = results.settings[int(str(row.setting_index))].label
        first = (setting,) if len(results.settings) > 1 else ()
        texts = [results.series[int(str(row.series_index))].label]
        texts += _write_critical(row) if percent else []
        body.append((*first, *texts, *_write_area(row, percent, decimals)))
    head = (*head_setting(results), "Method")
    head += ("Critical (%)", "n", "Density to the best", "p (Holm)") if percent else ()
    head += ("Area", "n", "Over (%)", "To the best", "p (Holm)")
    caption = begin_caption(results) + (_explain_critical() if percent else "")
    caption += (
        " Area: the mean over log density, by the trapezoid rule, between the sparsities named; "
        "only areas over the same range are compared, each with the largest of them. 95 % "
        "intervals; p corrected for all comparisons of their kind (Holm) and for the choice of the "
        "best; controls do not compete."
    )
    raw = both.assign(
        setting=[results.settings[int(index)].label for index in both["setting_index"]],
        series=[results.series[int(index)].label for index in both["series_index"]],
    ).drop(columns=KEYS)
    raw = raw[["setting", "series", *(name for name in raw if name not in ("setting", "series"))]]
    return Table(
        "critical",
        "How far each method goes",
        caption,
        head,
        tuple(body),
        len(head_setting(results)) + 1,
        frozenset(rules),
        raw,
    )


def _explain_critical() -> str:
    return (
        f" Critical: the sparsity at which a seed's curve last crosses a loss of {TOLERANCE:g} "
        "point against the dense network of that seed, linear in log density between its levels; "
        "mean over seeds on that scale. At least: a seed stays within it at its largest sparsity. "
        "Density to the best: how many times the density of the best a method needs there."
    )


def _write_critical(row: Any) -> list[str]:
    mean = row.mean_critical
    if pd.isna(mean):
        return [NOTHING] * 4
    if row.at_least:
        text = f"at least {format_sparsity(mean)}"
    elif pd.isna(row.low_critical):
        text = format_sparsity(mean)
    else:
        ends = (format_sparsity(end) for end in (row.low_critical, row.high_critical))
        text = f"{format_sparsity(mean)} [{', '.join(ends)}]"
    ratio = format_interval(row.density_ratio, row.ratio_low, row.ratio_high, 2)
    return [text, str(int(row.n_critical)), ratio, format_p(row.adjusted_critical)]


def _write_area(row: Any, percent: bool, decimals: int) -> list[str]:
    names = ("mean", "low", "high", "n", "adjusted")
    suffix = "_area" if percent else ""
    mean, low, high, n, adjusted = (getattr(row, f"{name}{suffix}") for name in names)
    if pd.isna(mean):
        return [NOTHING] * 5
    span = f"{format_sparsity(row.start)} to {format_sparsity(row.end)}"
    difference = format_interval(
        row.difference, row.difference_low, row.difference_high, decimals, sign=True
    )
    value = format_interval(mean, low, high, decimals)
    return [value, str(int(n)), span, difference, format_p(adjusted)]
