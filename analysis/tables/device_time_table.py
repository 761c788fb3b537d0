"""What the methods took in device time, as a table."""

import pandas as pd

from analysis.statistics.device_time import find_device_times, find_trial_device
from analysis.statistics.results import Results
from analysis.tables.cell_text import head_setting
from analysis.tables.table import Table


def make_device_time_table(results: Results) -> Table:
    """One row per setting and method; none where trials have no times."""
    body: list[tuple[str, ...]] = []
    parts = []
    rules = set()
    device, _ = find_trial_device(results.study)
    for setting in results.settings:
        times = find_device_times(results, setting)
        if times.empty:
            continue
        rules |= {len(body)} if body else set()
        first = (setting.label,) if len(results.settings) > 1 else ()
        for row in times.itertuples():
            seconds = (row.training, row.rest, row.shared)
            texts = [f"{float(str(value)):.2f}" for value in seconds]
            hours = f"{float(str(row.total)) / 3600:.4f}"
            body.append((*first, str(row.series), str(row.trials), *texts, hours))
        parts.append(times.drop(columns="series_index").assign(setting=setting.label))
    columns = ("Method", "Trials", "Training (s)", "Rest (s)", "Dense (s)")
    head = (*head_setting(results), *columns, f"Total ({device} hours)")
    where = "; ".join(setting.label for setting in results.settings)
    caption = (
        f"{device} time, {where}, taken while trials ran side by side. Mean seconds of a trial in "
        "training and in the rest (data, pruning, evaluation, writing), without trials that were "
        "the first of a worker process and paid for its start, where the method has others; of the "
        "dense training it starts from, which is shared; hours of all trials, with first ones, "
        "without that."
    )
    raw = pd.concat(parts) if parts else pd.DataFrame()
    text_columns = len(head_setting(results)) + 1
    return Table(
        "cost", "Device time", caption, head, tuple(body), text_columns, frozenset(rules), raw
    )
