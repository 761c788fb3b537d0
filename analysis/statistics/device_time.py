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
    """One row per method and knobs, in seconds of the device, times the part of it that a trial
    occupies: `series_index`, `series`, `method`, `knobs`, `trials`, `timed`, `training` (mean of a
    trial), `rest` (mean of what else it does: data, pruning, evaluation, writing), `seconds` (of
    both), `shared` (mean of the dense training it starts from, 0 where it needs none) and `total`
    (sum of all its trials, without what is shared).

    The first trial of a worker process pays for the start of that process, so means are over the
    `timed` other ones; where a method has only first trials, over those. Sums are over all. Empty
    where no row has `trial_seconds`.
    """
    names = ["key", "method", "knobs", "trial_seconds", "train_seconds", "host", "started"]
    columns = ["series_index", "series", "method", "knobs", "trials", "timed"]
    columns += ["training", "rest", "seconds", "shared", "total"]
    rows = results.rows_of(setting, names).dropna(subset=["trial_seconds"])
    if rows.empty:
        return pd.DataFrame(columns=columns)
    _, part = find_trial_device(results.study)
    spent = rows[["trial_seconds", "train_seconds"]].astype(float).fillna(0.0) * part
    longest = spent.groupby(rows["key"]).max()
    trials = rows.drop_duplicates("key").drop(columns=["trial_seconds", "train_seconds"])
    trials = trials.join(longest, on="key")
    trials["train_seconds"] = trials[["train_seconds", "trial_seconds"]].min(axis=1)
    trials["rest"] = trials["trial_seconds"] - trials["train_seconds"]
    trials["is_first"] = _are_first_of_process(trials)
    by = ["method", "knobs"]
    only_first = trials.groupby(by)["is_first"].transform("all")
    timed = trials[~trials["is_first"] | only_first]
    means = timed.groupby(by).agg(
        timed=("key", "size"), training=("train_seconds", "mean"), rest=("rest", "mean")
    )
    means["seconds"] = means["training"] + means["rest"]
    parents = results.study.plan.set_index("key")["parents"].to_dict()
    typical = dict(zip(trials["key"], _find_typical_seconds(trials, means), strict=True))
    trials["shared"] = [
        sum(typical.get(parent, 0.0) for parent in _list_parents(parents.get(key)))
        for key in trials["key"]
    ]
    sums = trials.groupby(by).agg(
        trials=("key", "size"), shared=("shared", "mean"), total=("trial_seconds", "sum")
    )
    times = means.join(sums)
    index_of = {
        (results.series[index].method, results.series[index].knobs): index
        for index in results.list_last_stages(dense=True)
    }
    times = times[[key in index_of for key in times.index]].reset_index()
    keys = zip(times["method"], times["knobs"], strict=True)
    times["series_index"] = [index_of[key] for key in keys]
    times["series"] = [results.series[index].label for index in times["series_index"]]
    return times.sort_values("series_index", ignore_index=True)[columns]


def _are_first_of_process(trials: pd.DataFrame) -> pd.Series:
    """Whether each trial was the first of its worker process, which `host` names; False where the
    rows do not say."""
    known = trials.dropna(subset=["host", "started"])
    first = known.sort_values(["started", "key"]).drop_duplicates("host").index
    return pd.Series(trials.index.isin(first), index=trials.index)


def _find_typical_seconds(trials: pd.DataFrame, means: pd.DataFrame) -> pd.Series:
    """What each trial took; of a first one of a process, what those of its method take."""
    of_method = trials[["method", "knobs"]].join(means["seconds"], on=["method", "knobs"])
    return trials["trial_seconds"].where(~trials["is_first"], of_method["seconds"])


def _list_parents(parents: object) -> list[str]:
    return [str(parent) for parent in parents] if isinstance(parents, list) else []
