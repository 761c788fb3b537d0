"""What trials cost: device seconds of each method, its own and those of the dense training it
stands on."""

from math import inf

import pandas as pd

from analysis.reading.load import Study
from analysis.series import Setting
from analysis.statistics.results import Results


def find_device(study: Study) -> tuple[str, float]:
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


def find_costs(results: Results, setting: Setting) -> pd.DataFrame:
    """One line per method and knobs: `line`, `series`, `trials`, `seconds` (mean of a trial in its
    worker, times the part of the device it occupies), `shared` (mean of the dense training it
    starts from, 0 where it needs none) and `total` (sum of its trials, without what is shared).

    Empty where no row has `trial_seconds`.
    """
    rows = results.rows(setting, ["key", "method", "knobs", "trial_seconds"])
    trials = rows.dropna(subset=["trial_seconds"]).drop_duplicates("key")
    columns = ["line", "series", "method", "knobs", "trials", "seconds", "shared", "total"]
    if trials.empty:
        return pd.DataFrame(columns=columns)
    _, part = find_device(results.study)
    seconds = trials["trial_seconds"].astype(float) * part
    spent = dict(zip(trials["key"], seconds, strict=True))
    parents = results.study.plan.set_index("key")["parents"].to_dict()
    shared = [
        sum(spent.get(parent, 0.0) for parent in _list(parents.get(key))) for key in trials["key"]
    ]
    trials = trials.assign(seconds=seconds, shared=shared)
    found = trials.groupby(["method", "knobs"]).agg(
        trials=("key", "size"),
        seconds=("seconds", "mean"),
        total=("seconds", "sum"),
        shared=("shared", "mean"),
    )
    lines = {
        (one.method, one.knobs): index
        for index, one in enumerate(results.series)
        if one in results.last
    }
    found = found[[key in lines for key in found.index]].reset_index()
    found["line"] = [lines[key] for key in zip(found["method"], found["knobs"], strict=True)]
    found["series"] = [results.series[line].label for line in found["line"]]
    return found.sort_values("line", ignore_index=True)[columns]


def _list(parents: object) -> list[str]:
    return [str(parent) for parent in parents] if isinstance(parents, list) else []
