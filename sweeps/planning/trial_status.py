"""What of a plan is done, failed or missing: read from the study directory, which is the only
truth."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from pruning.user_error import printable
from sweeps.planning.plan import Plan
from trainables.storage.store import Store, StoreLost

if TYPE_CHECKING:
    from trainables.storage.parquet_tables import Ended

PARTS = (
    "rows",
    "curves",
    "layers",
    "latency",
    "artifacts",
    "checkpoints",
    "failures",
    "report",
    "methods",
    "networks",
    "logged",
    "logs",
)
FILES = ("study.yaml", "plan.json")


@dataclass(frozen=True)
class Failure:
    """A trial that ended by its own fault: its key, the error in one line, and the file with the
    traceback."""

    key: str
    error: str
    path: str


@dataclass(frozen=True)
class Spent:
    """What a trial has cost: seconds in its workers, the name of the device, and the epochs it
    trained in them."""

    seconds: float
    device: str
    epochs: int


@dataclass(frozen=True)
class Ledger:
    """The state of a plan at one moment.

    done: trials whose rows are there and whole, and where the plan keeps networks, those too.
    spent: what they cost, by key. damaged: trials whose file of rows is not whole; they count as
    missing, and their rows are written anew. failed: given up, by key. blocked: trials that cannot
    run, with the parent that failed. missing: trials to run now, in the plan's order. A dense trial
    whose rows are there is missing again, or failed, if a missing trial needs weights it has not
    stored.
    """

    done: frozenset[str]
    failed: dict[str, Failure]
    blocked: dict[str, str]
    missing: tuple[str, ...]
    damaged: tuple[str, ...] = ()
    spent: dict[str, Spent] = field(default_factory=dict)


def read(plan: Plan, store: Store, *, retry_failed: bool = False) -> Ledger:
    """Compare a plan with the study directory; with `retry_failed`, trials that failed count as
    missing."""
    have_rows = {_key(path, "rows", ".parquet") for path in store.list("rows", ".parquet")}
    found = _read_ends(store, [key for key in plan.by_key if key in have_rows])
    whole = {key: end for key, end in found.items() if end}
    kept = _numbers(store, "networks", "level") if plan.keep_networks else {}
    done = {
        key
        for key, end in whole.items()
        if not plan.keep_networks or end.levels <= kept.get(key, set())
    }
    recorded = [] if retry_failed else store.list("failures", ".json")
    failures = {_key(path, "failures", ".json"): path for path in recorded}
    again = _find_needed_again(
        plan, store, done, [key for key in plan.by_key if key not in done | failures.keys()]
    )
    to_run = [key for key in plan.by_key if key not in done or key in again]
    failed = {key: _failure(store, key, failures[key]) for key in to_run if key in failures}
    blocked: dict[str, str] = {}
    for key in to_run:
        for parent in plan.by_key[key].parents:
            if key not in failed and parent in failed:
                blocked[key] = parent
    missing = tuple(key for key in to_run if key not in failed and key not in blocked)
    damaged = tuple(key for key, end in found.items() if not end)
    return Ledger(
        frozenset(done),
        failed,
        blocked,
        missing,
        damaged,
        {key: _spent(end) for key, end in whole.items()},
    )


def begin(plan: Plan) -> Ledger:
    """The state of a plan in an empty study directory."""
    return Ledger(frozenset(), {}, {}, tuple(plan.by_key))


def _read_ends(store: Store, keys: list[str]) -> dict[str, "Ended | None"]:
    """What the rows of trials say of them; None where these cannot be read, or are of another
    trial."""
    from trainables.storage import parquet_tables

    def find(key: str) -> "Ended | None":
        try:
            return parquet_tables.summarise(store.read(f"rows/{key}.parquet"), key)
        except (FileNotFoundError, parquet_tables.DamagedTable):
            return None

    return dict(zip(keys, store.spread(find, keys), strict=True))


def _spent(end: "Ended") -> Spent:
    seconds = end.seconds if end.seconds and 0 < end.seconds < inf else 0.0
    return Spent(seconds, end.device or "", end.epochs or 0)


def _find_needed_again(plan: Plan, store: Store, done: set[str], open_keys: list[str]) -> set[str]:
    """Dense trials whose rows are there, but not the weights that a trial still to run needs."""
    needed = {parent for key in open_keys for parent in plan.by_key[key].parents if parent in done}
    stored = _numbers(store, "artifacts", "epoch") if needed else {}
    return {
        parent for parent in needed if not _wanted_epochs(plan, parent) <= stored.get(parent, set())
    }


def forget_failures(store: Store, keys: Iterable[str]) -> None:
    """Delete the records of failures, so that the trials run again."""
    for key in keys:
        store.delete(f"failures/{key}.json")


def record_failure(store: Store, key: str, error: str) -> None:
    """Record a trial that was given up without its own word on it."""
    content = {"key": key, "error": error, "traceback": "", "faults": None}
    store.write(f"failures/{key}.json", json.dumps(content, indent=1).encode())


def tidy(store: Store, done: Iterable[str]) -> None:
    """Delete what killed workers left behind: checkpoints of trials that are done, files that were
    never whole."""
    kept = {
        path.split("/step-")[0].removeprefix("checkpoints/")
        for path in store.list("checkpoints", ".pt")
    }
    for key in kept.intersection(done):
        store.delete(f"checkpoints/{key}")
    store.sweep()


def erase(store: Store) -> None:
    """Delete a study from its directory: its own files and folders, nothing else that lies there.
    """
    for name in (*PARTS, *FILES):
        store.delete(name)


def _key(path: str, folder: str, suffix: str) -> str:
    return path.removeprefix(f"{folder}/").removesuffix(suffix)


def _failure(store: Store, key: str, path: str) -> Failure:
    try:
        error = printable(str(json.loads(store.read(path))["error"]))
    except StoreLost:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        error = "the record of this failure cannot be read"
    return Failure(key, error, path)


def _wanted_epochs(plan: Plan, dense: str) -> set[int]:
    spec = plan.by_key[dense].spec
    return {0, *spec.rewind_epochs, spec.recipe.epochs}


def _numbers(store: Store, folder: str, stem: str) -> dict[str, set[int]]:
    """Numbers of the states of that stem that are stored, e.g. epochs, by key of the trial."""
    found: dict[str, set[int]] = {}
    for path in store.list(folder, ".pt"):
        key, _, name = path.removeprefix(f"{folder}/").rpartition("/")
        parts = name.split("-")
        if len(parts) == 3 and parts[0] == stem and parts[1].isdigit():
            found.setdefault(key, set()).add(int(parts[1]))
    return found
