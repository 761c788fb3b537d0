"""What the methods cost in device time, as a table."""

import pandas as pd

from analysis.statistics.device_time import find_device_times, find_trial_device
from analysis.statistics.results import Results
from analysis.tables.cell_text import lead
from analysis.tables.table import Table


def make_costs_table(results: Results) -> Table:
    """One line per setting and method; none where trials have no times."""
    body: list[tuple[str, ...]] = []
    parts = []
    rules = set()
    device, _ = find_trial_device(results.study)
    for setting in results.settings:
        costs = find_device_times(results, setting)
        if costs.empty:
            continue
        if body:
            rules.add(len(body))
        first = (setting.label,) if len(results.settings) > 1 else ()
        for line in costs.itertuples():
            seconds = [f"{float(str(value)):.2f}" for value in (line.seconds, line.shared)]
            body.append(
                (
                    *first,
                    str(line.series),
                    str(line.trials),
                    *seconds,
                    f"{float(str(line.total)) / 3600:.4f}",
                )
            )
        parts.append(costs.drop(columns="series_index").assign(setting=setting.label))
    head = (
        *lead(results),
        "Method",
        "Trials",
        "Seconds",
        "Shared seconds",
        f"Total ({device} hours)",
    )
    where = "; ".join(setting.label for setting in results.settings)
    caption = f"{device} time, {where}: mean seconds of a trial in its worker (data, training, pruning, measuring); mean "
    caption += "seconds of the dense training it starts from, which is shared; hours of all trials without that. "
    caption += "Taken while trials ran side by side."
    raw = pd.concat(parts) if parts else pd.DataFrame()
    return Table(
        "cost",
        "Cost",
        caption,
        head,
        tuple(body),
        len(lead(results)) + 1,
        frozenset(rules),
        raw,
    )
