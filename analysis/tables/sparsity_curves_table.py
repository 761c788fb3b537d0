"""How far each method can be pruned: critical sparsity, and the area under its curve."""

import pandas as pd

from analysis.captions import NOTHING, format_interval
from analysis.series import format_sparsity
from analysis.statistics.intervals_and_tests import CONFIDENCE
from analysis.statistics.results import Results
from analysis.statistics.sparsity_curves import (
    TOLERANCE,
    CriticalSparsity,
    find_area_under_curve,
    find_critical_sparsity,
)
from analysis.tables.cell_text import begin_caption, lead
from analysis.tables.table import Table


def make_courses_table(results: Results) -> Table:
    """One line per setting and method (last stage) with at least two sparsities or a critical one."""
    body: list[tuple[str, ...]] = []
    raw = []
    rules = set()
    percent = results.metric.unit == "%"
    for setting in results.settings:
        if body:
            rules.add(len(body))
        for one in results.series:
            if one.method == "dense" or one not in results.last_stages:
                continue
            critical = find_critical_sparsity(results, setting, one) if percent else None
            area = find_area_under_curve(results, setting, one)
            measured = results.measured_cells(setting, one)
            if measured.empty or (area is None and critical is None):
                continue
            line = [one.label]
            found: dict[str, object] = {"setting": setting.label, "series": one.label}
            if percent:
                line += _write_critical(critical)
            if critical is not None:
                drop = {f"drop_{name}": value for name, value in vars(critical.drop).items()}
                found |= {
                    "critical_sparsity": critical.sparsity,
                    **drop,
                    "next_sparsity": critical.following,
                }
            if area is None:
                line += [NOTHING, NOTHING, NOTHING]
            else:
                interval, low, high = area
                line += [
                    format_interval(interval.mean, interval.half_width, results.metric.decimals),
                    str(interval.n),
                ]
                line += [f"{format_sparsity(low)} to {format_sparsity(high)}"]
                found |= {f"area_{name}": value for name, value in vars(interval).items()} | {
                    "from": low,
                    "to": high,
                }
            body.append((*((setting.label,) if len(results.settings) > 1 else ()), *line))
            raw.append(found)
    head = (*lead(results), "Method")
    head += ("Critical (%)", "Difference there", "Next (%)") if percent else ()
    head += ("Area", "n", "Over (%)")
    caption = begin_caption(results)
    if percent:
        caption += f" Critical: the largest measured sparsity with a mean paired loss against dense of at most {TOLERANCE:g} "
        caption += f"point, the loss there ± half width of its {100 * CONFIDENCE:g} % t-interval, and the next larger sparsity "
        caption += "measured."
    caption += " Area: the mean over log density, by the trapezoid rule, between the sparsities named last; only areas "
    caption += "over the same range can be compared."
    return Table(
        "critical", "How far each method goes", caption, head, tuple(body), len(lead(results)) + 1, frozenset(rules),
        pd.DataFrame(raw),
    )  # fmt: skip


def _write_critical(critical: CriticalSparsity | None) -> list[str]:
    if critical is None:
        return ["none", NOTHING, NOTHING]
    drop = format_interval(critical.drop.mean, critical.drop.half_width, 2, sign=True)
    following = NOTHING if critical.following is None else format_sparsity(critical.following)
    return [format_sparsity(critical.sparsity), drop, following]
