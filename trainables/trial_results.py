"""The results of a trial in the study directory: whether they are complete, and how they are
written."""

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
    if not has_stored_weights(store, spec, phases):
        return []
    measured = {phase.level for phase in phases if isinstance(phase, Measure)}
    if networks and not measured <= saved_networks.list_saved_levels(store, spec.key):
        return []
    return read_stored_rows(store, spec.key)


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
