"""The device time of trials: device seconds of each method, of its own trials and of the dense
trainings that they start from."""

from math import inf

import pandas as pd

from analysis.reading.load import Study
from analysis.series import Setting
from analysis.statistics.results import Results


def find_trial_device(study: Study) -> tuple[str, float]:
    """What a trial occupies, as a name and how many or what part of one: a GPU where the study file
    grants one."""
    resources = study.spec.get("resources")
    granted = resources if isinstance(resources, dict) else {}
    gpus = _read_amount(granted.get("gpus_per_trial"), 0.0)
    return ("GPU", gpus) if gpus else ("CPU core", _read_amount(granted.get("cpus_per_trial"), 1.0))


def _read_amount(value: object, default: float) -> float:
    """A positive amount, or the default for what is none."""
    try:
        amount = float(str(value))
    except ValueError:
        return default
    return amount if 0 < amount < inf else default


def find_device_times(results: Results, setting: Setting) -> pd.DataFrame:
    """One row per method and knobs: `series_index`, `series`, `trials`, `seconds` (mean of a trial
    in its worker, times the part of the device it occupies), `shared` (mean of the dense training
    it starts from, 0 where it needs none) and `total` (sum of its trials, without what is shared).

    Empty where no row has `trial_seconds`.
    """
    rows = results.rows_of(setting, ["key", "method", "knobs", "trial_seconds"])
    trials = rows.dropna(subset=["trial_seconds"]).drop_duplicates("key")
    columns = ["series_index", "series", "method", "knobs", "trials", "seconds", "shared", "total"]
    if trials.empty:
        return pd.DataFrame(columns=columns)
    _, part = find_trial_device(results.study)
    seconds = trials["trial_seconds"].astype(float) * part
    seconds_of = dict(zip(trials["key"], seconds, strict=True))
    parents = results.study.plan.set_index("key")["parents"].to_dict()
    shared = [
        sum(seconds_of.get(parent, 0.0) for parent in _list_parents(parents.get(key)))
        for key in trials["key"]
    ]
    trials = trials.assign(seconds=seconds, shared=shared)
    times = trials.groupby(["method", "knobs"]).agg(
        trials=("key", "size"),
        seconds=("seconds", "mean"),
        total=("seconds", "sum"),
        shared=("shared", "mean"),
    )
    index_of = {
        (results.series[index].method, results.series[index].knobs): index
        for index in results.list_last_stages(dense=True)
    }
    times = times[[key in index_of for key in times.index]].reset_index()
    keys = zip(times["method"], times["knobs"], strict=True)
    times["series_index"] = [index_of[key] for key in keys]
    times["series"] = [results.series[index].label for index in times["series_index"]]
    return times.sort_values("series_index", ignore_index=True)[columns]


def _list_parents(parents: object) -> list[str]:
    return [str(parent) for parent in parents] if isinstance(parents, list) else []
