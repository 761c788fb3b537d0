"""What a study still lacks, and why: trials that failed, were not run, are in progress, waiting or
unreadable, and levels that were measured without a value of the metric.

For the report only: what a launch runs is decided in `sweeps/planning/trial_status.py`.
"""

from dataclasses import dataclass, field, replace

import pandas as pd

from analysis.reading.load import Study
from analysis.reading.plan_and_failures import Failure
from trainables.storage import layout


@dataclass(frozen=True)
class MissingTrials:
    """The planned trials without rows, by what became of them.

    done and planned: counts; planned is 0 where there is no plan. failed: trials without rows that
    were given up. blocked: keys of trials that were not run, with the failed trial that they
    needed. missing: all other keys without rows; of those, begun ones have a checkpoint, unreadable
    ones have a file of rows that cannot be read, the rest waits. valueless: the rows whose `metric`
    is null or NaN, as the loss of a training that diverged; None where no metric was asked for.
    """

    done: int
    planned: int
    failed: tuple[Failure, ...]
    blocked: dict[str, str]
    missing: tuple[str, ...]
    begun: frozenset[str] = field(default=frozenset())
    unreadable: frozenset[str] = field(default=frozenset())
    metric: str = ""
    valueless: pd.DataFrame | None = field(default=None, compare=False, repr=False)

    @property
    def total(self) -> int:
        """Trials the study consists of, as far as we know."""
        return max(self.planned, self.done)

    @property
    def open(self) -> bool:
        """Whether trials may still come: some are neither done nor failed nor blocked."""
        return bool(self.missing)

    def summarise(self) -> str:
        """Where the study stands, in one line."""
        text = (
            f"{self.done} of {self.total} trials done"
            if self.planned
            else f"{self.done} trials done"
        )
        counts = {
            "failed": len(self.failed),
            "not run": len(self.blocked),
            "begun": len(self.begun),
            "unreadable": len(self.unreadable),
            "waiting": len(self.missing) - len(self.begun) - len(self.unreadable),
        }
        if count := len(self.valueless_keys):
            counts[f"done without a value of {self.metric}"] = count
        return ", ".join([text, *(f"{count} {what}" for what, count in counts.items() if count)])

    @property
    def valueless_keys(self) -> tuple[str, ...]:
        """The keys of trials with a measured level that has no value of the metric."""
        return () if self.valueless is None else tuple(self.valueless["key"].unique())

    def explain(self, key: str) -> str:
        """Why a trial has no rows, in a few words."""
        failure = next((failure for failure in self.failed if failure.key == key), None)
        if failure:
            return f"failed: {failure.error}"
        if key in self.blocked:
            return f"not run, because {self.blocked[key]} failed"
        if key in self.unreadable:
            return "its rows cannot be read"
        if key in self.valueless_keys:
            return f"done, but without a value of {self.metric}"
        return "begun, not done" if key in self.begun else "not begun"


def find_missing_trials(study: Study, metric: str = "") -> MissingTrials:
    """Compare the rows with the plan, and with `metric`, a column of the rows, find those without a
    value of it. A failure whose trial has rows by now was retried and does not count."""
    missing = _compare_with_plan(study)
    if not metric:
        return missing
    valueless = study.rows[study.rows[metric].isna()]
    return replace(missing, metric=metric, valueless=valueless)


def _compare_with_plan(study: Study) -> MissingTrials:
    measured = set(study.rows["key"].unique())
    planned = list(study.plan["key"])
    failed = tuple(failure for failure in study.failures if failure.key not in measured)
    failed_keys = {failure.key for failure in failed}
    without_rows = [key for key in planned if key not in measured and key not in failed_keys]
    parents = {
        key: list(given) if isinstance(given, list) else []
        for key, given in zip(study.plan["key"], study.plan["parents"], strict=True)
    }
    causes = {key: _find_cause(key, parents, measured, failed_keys) for key in without_rows}
    blocked = {key: cause for key, cause in causes.items() if cause}
    missing = tuple(key for key in without_rows if key not in blocked)
    done = len(measured & set(planned)) if planned else len(measured)
    if not missing:
        return MissingTrials(done, len(planned), failed, blocked, missing)
    unreadable = frozenset(missing) & _list_keys_with_rows(study)
    begun = frozenset(missing) & _list_keys_with_checkpoints(study) - unreadable
    return MissingTrials(done, len(planned), failed, blocked, missing, begun, unreadable)


def _find_cause(
    key: str,
    parents: dict[str, list[str]],
    measured: set[str],
    failed: set[str],
    seen: frozenset[str] = frozenset(),
) -> str | None:
    """The nearest ancestor of a trial that failed; the way up stops at trials that are done."""
    for parent in parents.get(key, []):
        if parent in failed:
            return str(parent)
        if parent not in measured and parent not in seen:
            cause = _find_cause(parent, parents, measured, failed, seen | {key})
            if cause:
                return cause
    return None


def list_missing_trials(study: Study, missing: MissingTrials) -> pd.DataFrame:
    """One row per planned trial without rows, and per trial with levels that have no value of the
    metric (`sparsities`: those levels only): what it is, and `reason`."""
    keys = {*(failure.key for failure in missing.failed), *missing.blocked, *missing.missing}
    plan = study.plan[study.plan["key"].isin(keys)]
    columns = ["dataset", "model", "recipe", "method", "knobs", "sparsities", "seed", "key"]
    lacking = [plan[columns]]
    if len(missing.valueless_keys) and missing.valueless is not None:
        rows = missing.valueless.sort_values(["key", "sparsity"])
        sparsities = rows.groupby("key")["sparsity"].agg(lambda of: sorted(set(of.dropna())))
        once = rows.drop_duplicates("key")
        lacking.append(once.assign(sparsities=once["key"].map(sparsities))[columns])
    every = pd.concat([part.astype(object) for part in lacking], ignore_index=True)
    return every.assign(reason=[missing.explain(key) for key in every["key"]])


def _list_keys_with_rows(study: Study) -> frozenset[str]:
    """The keys of trials with a file of rows, which may be damaged."""
    paths = study.store.list(layout.ROWS, ".parquet")
    return frozenset(layout.table_key(layout.ROWS, path) for path in paths)


def _list_keys_with_checkpoints(study: Study) -> frozenset[str]:
    """The keys of trials with a checkpoint."""
    return frozenset(layout.state_key(path) for path in study.store.list(layout.CHECKPOINTS))
