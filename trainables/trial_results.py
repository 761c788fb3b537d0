"""The results of a trial in the study directory: whether they are complete, and how they are
written; or the record of its failure."""

import json
from typing import Any

from pruning.phases import Measure, Phase
from trainables import saved_networks
from trainables.dense_weights import has_stored_weights
from trainables.provenance import utc_now
from trainables.storage import layout, parquet_tables
from trainables.storage.store import Store
from trainables.trial_records import TrialRecords
from trainables.trial_spec import TrialSpec


def read_complete_rows(
    store: Store, spec: TrialSpec, phases: list[Phase], *, networks: bool
) -> list[dict[str, Any]]:
    """The rows of a trial if all its results are there, e.g. because a worker died right after it
    wrote them; else none.

    Args:
        networks: whether the network of every measured level belongs to the results.
    """
    rows = read_stored_rows(store, spec.key)  # by name: whatever else there is was written before
    if not rows or not has_stored_weights(store, spec, phases):
        return []
    if networks and not saved_networks.await_saved_levels(
        store, spec.key, {phase.level for phase in phases if isinstance(phase, Measure)}
    ):
        return []
    return rows


def read_stored_rows(store: Store, key: str) -> list[dict[str, Any]]:
    """The rows of a trial as they are stored; none where there is no file, or a damaged one, or one
    of another trial."""
    try:
        return list(parquet_tables.read_table(store, layout.ROWS, key).to_pylist())
    except (FileNotFoundError, parquet_tables.DamagedTable):
        return []


def write_results(
    store: Store, key: str, records: TrialRecords, *, attempts: int, seconds: float
) -> None:
    """Write the tables of a trial: the rows last, because they say that the trial is done.

    Rows that are there already, from an earlier worker, stay as they are.
    """
    if read_stored_rows(store, key):
        return
    same = {"attempts": attempts, "trial_seconds": seconds, "finished": utc_now()}
    rows = [{**row, **same} for row in records.rows]
    parquet_tables.write_table(store, layout.LAYERS, key, records.layers)
    parquet_tables.write_table(store, layout.CURVES, key, records.curves)
    parquet_tables.write_table(store, layout.ROWS, key, rows)


def write_failure(store: Store, key: str, error: str, trace: str, *, faults: int) -> None:
    """Record that a trial is given up after so many faults of its own, with the last traceback."""
    failure = {"key": key, "error": error, "traceback": trace, "faults": faults}
    failure["finished"] = utc_now()
    store.write(layout.failure_file(key), json.dumps(failure, indent=1).encode())
