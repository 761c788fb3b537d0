"""What of a plan is done, failed or missing: read from the study directory, which is the only truth."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import inf

from sweeps.mistake import printable
from sweeps.plan import Plan
from trainables.store import Store, StoreLost, is_remote

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
THREADS = {"local": 4, "remote": 32}  # a disk is bound by decoding, a bucket by waiting


@dataclass(frozen=True)
class Failure:
    """A trial that ended by its own fault: its key, the error in one line, and the file with the traceback."""

    key: str
    error: str
    path: str


@dataclass(frozen=True)
class Spent:
    """What a trial has cost: seconds in its workers, the name of the device, and the epochs it trained in them."""

    seconds: float
    device: str
    epochs: int


@dataclass(frozen=True)
class Ledger:
    """The state of a plan at one moment.

    done: trials whose rows are there and whole, and where the plan keeps networks, those too. spent: what they cost, by
    key. damaged: trials whose file of rows is not whole; they count as missing, and their rows are written anew.
    failed: given up, by key. blocked: trials that cannot run, with the parent that failed. missing: trials to run now,
    in the plan's order; a dense trial whose rows are there is among them again if a missing trial needs weights it has
    not stored.
    """

    done: frozenset[str]
    failed: dict[str, Failure]
    blocked: dict[str, str]
    missing: tuple[str, ...]
    damaged: tuple[str, ...] = ()
    spent: dict[str, Spent] = field(default_factory=dict)


def read(plan: Plan, store: Store, *, retry_failed: bool = False) -> Ledger:
    """Compare a plan with the study directory; with `retry_failed`, trials that failed count as missing."""
    have_rows = {_key(path, "rows", ".parquet") for path in store.list("rows", ".parquet")}
    spent = _spent(store, [key for key in plan.by_key if key in have_rows])
    recorded = [] if retry_failed else store.list("failures", ".json")
    failures = {_key(path, "failures", ".json"): path for path in recorded}
    kept = _kept(store) if plan.keep_networks else have_rows
    done = {key for key in plan.by_key if spent.get(key) and key in kept}
    damaged = tuple(key for key, found in spent.items() if not found)
    failed = {key: _failure(store, key, failures[key]) for key in plan.by_key if key in failures and key not in done}
    blocked: dict[str, str] = {}
    for trial in plan.trials:
        for parent in trial.parents:
            if trial.key not in done and trial.key not in failed and parent in failed:
                blocked[trial.key] = parent
    missing = {key for key in plan.by_key if key not in done and key not in failed and key not in blocked}
    needed = {parent for key in missing for parent in plan.by_key[key].parents if parent in done}
    if needed:
        stored = _stored_epochs(store)
        missing |= {parent for parent in needed if not _wanted_epochs(plan, parent) <= stored.get(parent, set())}
    in_order = tuple(key for key in plan.by_key if key in missing)
    whole = {key: found for key, found in spent.items() if found}
    return Ledger(frozenset(done), failed, blocked, in_order, damaged, whole)


def _spent(store: Store, keys: list[str]) -> dict[str, Spent | None]:
    """What trials cost, from their rows; None where these cannot be read, or are of another trial."""
    from trainables import record

    def find(key: str) -> Spent | None:
        try:
            seconds, device, epochs = record.last(store.read(f"rows/{key}.parquet"), key)
        except (FileNotFoundError, record.DamagedTable):
            return None
        return Spent(seconds if seconds and 0 < seconds < inf else 0.0, device or "", epochs or 0)

    with ThreadPoolExecutor(THREADS["remote" if is_remote(store.uri) else "local"]) as threads:
        return dict(zip(keys, threads.map(find, keys), strict=True))


def forget_failures(store: Store, keys: Iterable[str]) -> None:
    """Delete the records of failures, so that the trials run again."""
    for key in keys:
        store.delete(f"failures/{key}.json")


def record_failure(store: Store, key: str, error: str) -> None:
    """Record a trial that was given up without its own word on it."""
    content = {"key": key, "error": error, "traceback": "", "faults": None}
    store.write(f"failures/{key}.json", json.dumps(content, indent=1).encode())


def tidy(store: Store, done: Iterable[str]) -> None:
    """Delete what killed workers left behind: checkpoints of trials that are done, files that were never whole."""
    kept = {path.split("/step-")[0].removeprefix("checkpoints/") for path in store.list("checkpoints", ".pt")}
    for key in kept.intersection(done):
        store.delete(f"checkpoints/{key}")
    store.sweep()


def erase(store: Store) -> None:
    """Delete a study from its directory: its own files and folders, nothing else that lies there."""
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


def _kept(store: Store) -> set[str]:
    """Keys of the trials whose networks are kept."""
    return {path.removeprefix("networks/").rpartition("/")[0] for path in store.list("networks", ".pt")}


def _wanted_epochs(plan: Plan, dense: str) -> set[int]:
    spec = plan.by_key[dense].spec
    return {0, *spec.rewind_epochs, spec.recipe.epochs}


def _stored_epochs(store: Store) -> dict[str, set[int]]:
    """Epochs whose weights are stored, by key of the dense trial."""
    found: dict[str, set[int]] = {}
    for path in store.list("artifacts", ".pt"):
        folder, _, name = path.removeprefix("artifacts/").rpartition("/")
        parts = name.split("-")
        if len(parts) == 3 and parts[0] == "epoch" and parts[1].isdigit():
            found.setdefault(folder, set()).add(int(parts[1]))
    return found
