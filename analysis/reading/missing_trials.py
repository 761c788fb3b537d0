"""What a study still lacks, and why: trials that failed, could not run, are under way, waiting or
unreadable."""

from dataclasses import dataclass, field

import pandas as pd

from analysis.reading.load import Study
from analysis.reading.plan_and_failures import Failure


@dataclass(frozen=True)
class Gaps:
    """Planned trials by what became of them.

    done and planned: counts; planned is 0 where there is no plan. failed: trials without rows that
    gave up. blocked: keys that were not run, with the failed trial they needed. missing: all other
    keys without rows; of those, begun ones have a checkpoint, unreadable ones a file of rows that
    cannot be read, the rest waits.
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
        failure = next((one for one in self.failed if one.key == key), None)
        if failure:
            return f"failed: {failure.error}"
        if key in self.blocked:
            return f"not run, because {self.blocked[key]} failed"
        if key in self.unreadable:
            return "its rows cannot be read"
        return "begun, not done" if key in self.begun else "not begun"


def find_gaps(study: Study) -> Gaps:
    """Compare rows with the plan. A failure whose trial has rows by now was retried and does not
    count."""
    measured = set(study.rows["key"].unique())
    planned = list(study.plan["key"])
    failed = tuple(failure for failure in study.failures if failure.key not in measured)
    dead = {failure.key for failure in failed}
    parents = {
        key: list(given) if isinstance(given, list) else []
        for key, given in zip(study.plan["key"], study.plan["parents"], strict=True)
    }

    def find_cause(key: str, seen: frozenset[str] = frozenset()) -> str | None:
        """The nearest ancestor that failed; the way up stops at trials that are done."""
        for parent in parents.get(key, []):
            if parent in dead:
                return str(parent)
            if parent not in measured and parent not in seen:
                cause = find_cause(parent, seen | {key})
                if cause:
                    return cause
        return None

    open_keys = [key for key in planned if key not in measured and key not in dead]
    causes = {key: find_cause(key) for key in open_keys}
    blocked = {key: cause for key, cause in causes.items() if cause}
    missing = tuple(key for key in open_keys if key not in blocked)
    unreadable = (
        frozenset(missing) & _list_keys(study, "rows", ".parquet") if missing else frozenset()
    )
    begun = (
        (frozenset(missing) & _list_keys(study, "checkpoints")) - unreadable
        if missing
        else frozenset()
    )
    done = len(measured & set(planned)) if planned else len(measured)
    return Gaps(done, len(planned), failed, blocked, missing, begun, unreadable)


def list_gaps(study: Study, gaps: Gaps) -> pd.DataFrame:
    """One line per planned trial without rows: what it is, and `reason`."""
    lacking = {*(one.key for one in gaps.failed), *gaps.blocked, *gaps.missing}
    plan = study.plan[study.plan["key"].isin(lacking)]
    columns = ["dataset", "model", "recipe", "method", "knobs", "sparsities", "seed", "key"]
    return (
        plan[columns]
        .assign(reason=[gaps.explain(key) for key in plan["key"]])
        .reset_index(drop=True)
    )


def _list_keys(study: Study, folder: str, suffix: str = "") -> frozenset[str]:
    """The keys that have a file in a folder: the file itself by its name, or whatever lies in a
    folder of that name."""
    paths = [path.removeprefix(f"{folder}/") for path in study.store.list(folder, suffix)]
    return frozenset(
        path.removesuffix(suffix) if suffix else path.rsplit("/", 1)[0] for path in paths
    )
