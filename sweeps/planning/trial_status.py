"""Which trials of a plan are done, failed or missing: read from the study directory, which is the
only truth.

This decides what a launch runs; what the report says of missing trials is in
`analysis/reading/study_completeness.py`.
"""

import json
from collections.abc import Container, Iterable, Set
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from pruning.user_error import UserError, list_some, printable
from sweeps.planning.plan import Plan
from trainables.storage.layout import (
    ARTIFACTS,
    CHECKPOINTS,
    FAILURES,
    NETWORKS,
    ROWS,
    SEARCH_PARTS,
    SIGNS,
    STUDY_PARTS,
    failure_file,
    failure_key,
    parse_state,
    state_folder,
    state_key,
    table_file,
    table_key,
)
from trainables.storage.store import Store, StoreLost
from trainables.storage.visibility import lag_seconds, wait_until_seen

if TYPE_CHECKING:
    from trainables.storage.parquet_tables import TrialSummary


@dataclass(frozen=True)
class Failure:
    """A trial that ended by its own fault: its key, the error in one line, and the file with the
    traceback."""

    key: str
    error: str
    path: str


@dataclass(frozen=True)
class DeviceTime:
    """What a trial has cost: seconds in its workers, the name of the device, and the epochs it
    trained in them."""

    seconds: float
    device: str
    epochs: int


@dataclass(frozen=True)
class TrialStatus:
    """How the trials of a plan stand at one moment.

    done: trials whose rows are there and whole, and where the plan saves networks, those too.
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
    spent: dict[str, DeviceTime] = field(default_factory=dict)


def read_trial_status(
    plan: Plan, store: Store, *, retry_failed: bool = False, reported: Container[str] = ()
) -> TrialStatus:
    """Compare a plan with the study directory.

    Args:
        retry_failed: whether trials that failed count as missing.
        reported: trials whose workers have said that they are done: their rows are looked for by
            name, because a listing may lag behind.
    """
    ends = _read_ends(store, plan, reported)
    whole = {key: end for key, end in ends.items() if end}
    saved = _read_numbers(store, NETWORKS, "level") if plan.keep_networks else {}
    done = {
        key
        for key, end in whole.items()
        if not plan.keep_networks or end.levels <= saved.get(key, set())
    }
    recorded = [] if retry_failed else store.list(FAILURES, ".json")
    failures = {failure_key(path) for path in recorded}
    to_run = _list_trials_to_run(plan, store, done, failures)
    failed = {key: read_failure(store, key) for key in to_run if key in failures}
    blocked = {
        key: parent
        for key in to_run
        for parent in plan.by_key[key].parents
        if key not in failed and parent in failed
    }
    return TrialStatus(
        done=frozenset(done),
        failed=failed,
        blocked=blocked,
        missing=tuple(key for key in to_run if key not in failed and key not in blocked),
        damaged=tuple(key for key, end in ends.items() if not end),
        spent={key: _device_time(end) for key, end in whole.items()},
    )


def await_trial_status(plan: Plan, store: Store, reported: Set[str]) -> TrialStatus:
    """`read_trial_status` once it shows the trials that were reported as done, or else after the
    time that a network disk may lag behind."""
    status = read_trial_status(plan, store, reported=reported)
    seconds = lag_seconds(store.uri)
    if reported <= status.done or not seconds:
        return status

    def find() -> TrialStatus | None:
        nonlocal status
        status = read_trial_status(plan, store, reported=reported)
        return status if reported <= status.done else None

    wait_until_seen(find, seconds)
    return status


def status_of_empty_directory(plan: Plan) -> TrialStatus:
    """How the trials of a plan stand before anything has run: all are missing."""
    return TrialStatus(frozenset(), {}, {}, tuple(plan.by_key))


def forget_failures(store: Store, keys: Iterable[str]) -> None:
    """Delete the records of failures, so that the trials run again."""
    for key in keys:
        store.delete(failure_file(key))


def record_failure(store: Store, key: str, error: str) -> None:
    """Record a trial that was given up without a record of its own."""
    content = {"key": key, "error": error, "traceback": "", "faults": None}
    store.write(failure_file(key), json.dumps(content, indent=1).encode())


def delete_leftovers(store: Store, done: Iterable[str]) -> None:
    """Delete what killed workers left behind: checkpoints of trials that are done, and half-written
    files."""
    with_checkpoint = {state_key(path) for path in store.list(CHECKPOINTS, ".pt")}
    for key in with_checkpoint.intersection(done):
        store.delete(state_folder(CHECKPOINTS, key))
    store.delete_abandoned_files()


def check_erasable(store: Store) -> None:
    """Pass if the directory holds a study or a search, or nothing that `--fresh` would delete.

    Raises:
        UserError: it is another folder, with e.g. `weights` of the user's.
    """
    if any(store.exists(name) for name in SIGNS) or store.list(ROWS, ".parquet"):
        return
    parts = (*STUDY_PARTS, *SEARCH_PARTS)
    if others := [f"'{name}'" for name in parts if store.exists(name) or store.list(name)]:
        raise UserError(
            f"{store.place()} holds no study, but {list_some(others)}, which --fresh would "
            "delete: choose another --out"
        )


def erase_study(store: Store) -> None:
    """Delete a study from its directory: its files and folders, nothing else that lies there."""
    for name in STUDY_PARTS:
        store.delete(name)


def _read_ends(
    store: Store, plan: Plan, reported: Container[str]
) -> dict[str, "TrialSummary | None"]:
    """By key, in the plan's order, what the rows of trials say of them; None where these cannot be
    read, or are of another trial."""
    from trainables.storage import parquet_tables

    def read_end(key: str) -> "TrialSummary | None":
        try:
            return parquet_tables.read_summary(store, key)
        except (FileNotFoundError, parquet_tables.DamagedTable):
            return None

    with_rows = {table_key(ROWS, path) for path in store.list(ROWS, ".parquet")}
    keys = [
        key
        for key in plan.by_key
        if key in with_rows or (key in reported and store.exists(table_file(ROWS, key)))
    ]
    return dict(zip(keys, store.parallel_map(read_end, keys), strict=True))


def _device_time(end: "TrialSummary") -> DeviceTime:
    seconds = end.seconds if end.seconds and 0 < end.seconds < inf else 0.0
    return DeviceTime(seconds, end.device or "", end.epochs or 0)


def _list_trials_to_run(
    plan: Plan, store: Store, done: set[str], failures: Container[str]
) -> list[str]:
    """Trials that are not done, and dense trials that are but have not stored the weights that a
    trial needs which will run."""
    unfinished = [key for key in plan.by_key if key not in done and key not in failures]
    needed = {parent for key in unfinished for parent in plan.by_key[key].parents if parent in done}
    stored = _read_numbers(store, ARTIFACTS, "epoch") if needed else {}
    repeated = {
        parent for parent in needed if not _wanted_epochs(plan, parent) <= stored.get(parent, set())
    }
    return [key for key in plan.by_key if key not in done or key in repeated]


def _wanted_epochs(plan: Plan, dense: str) -> set[int]:
    spec = plan.by_key[dense].spec
    return {0, *spec.rewind_epochs, spec.recipe.epochs}


def read_failure(store: Store, key: str) -> Failure:
    """The record of a trial that was given up, also where it cannot be read."""
    path = failure_file(key)
    try:
        error = printable(str(json.loads(store.read(path))["error"]))
    except StoreLost:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        error = "the record of this failure cannot be read"
    return Failure(key, error, path)


def _read_numbers(store: Store, part: str, kind: str) -> dict[str, set[int]]:
    """Numbers of the states of that kind that are stored, e.g. epochs, by key of the trial."""
    numbers: dict[str, set[int]] = {}
    for path in store.list(part, ".pt"):
        state = parse_state(path)
        if state and state.kind == kind:
            numbers.setdefault(state_key(path), set()).add(state.number)
    return numbers
