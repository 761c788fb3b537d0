"""What a study still lacks, and why: trials that failed, were not run, are in progress, waiting or
unreadable.

For the report only: what a launch runs is decided in `sweeps/planning/trial_status.py`.
"""

from dataclasses import dataclass, field

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
    ones have a file of rows that cannot be read, the rest waits.
    """

    done: int
    planned: int
    failed: tuple[Failure, ...]
    blocked: dict[str, str]
    missing: tuple[str, ...]
    begun: frozenset[str] = field(default=frozenset())
    unreadable: frozenset[str] = field(default=frozenset())

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
        return ", ".join([text, *(f"{count} {what}" for what, count in counts.items() if count)])

    def explain(self, key: str) -> str:
        """Why a trial has no rows, in a few words."""
        failure = next((failure for failure in self.failed if failure.key == key), None)
        if failure:
            return f"failed: {failure.error}"
        if key in self.blocked:
            return f"not run, because {self.blocked[key]} failed"
        if key in self.unreadable:
            return "its rows cannot be read"
        return "begun, not done" if key in self.begun else "not begun"


def find_missing_trials(study: Study) -> MissingTrials:
    """Compare the rows with the plan. A failure whose trial has rows by now was retried and does
    not count."""
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
    """One row per planned trial without rows: what it is, and `reason`."""
    keys = {*(failure.key for failure in missing.failed), *missing.blocked, *missing.missing}
    plan = study.plan[study.plan["key"].isin(keys)]
    columns = ["dataset", "model", "recipe", "method", "knobs", "sparsities", "seed", "key"]
    reasons = [missing.explain(key) for key in plan["key"]]
    return plan[columns].assign(reason=reasons).reset_index(drop=True)


def _list_keys_with_rows(study: Study) -> frozenset[str]:
    """The keys of trials with a file of rows, which may be damaged."""
    paths = study.store.list(layout.ROWS, ".parquet")
    return frozenset(layout.table_key(layout.ROWS, path) for path in paths)


def _list_keys_with_checkpoints(study: Study) -> frozenset[str]:
    """The keys of trials with a checkpoint."""
    return frozenset(layout.state_key(path) for path in study.store.list(layout.CHECKPOINTS))
