"""The rows of a replication in one small Parquet file, with what the rows do not say of the run: so
its page can be made again without the study directory."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.reading.load import Study
from analysis.reading.plan_and_failures import read_plan
from trainables.storage.schema import ROW_SCHEMA
from trainables.storage.store import Store

FACTS = b"replication"  # the key of the facts in the file's metadata
LEFT_OUT = ("study", "host", "digest")  # of the rows: names of machines, and what nobody can check


@dataclass(frozen=True)
class Facts:
    """What the rows do not say. preset: which one was run. changed: the fields that the run sets
    otherwise than the preset, as `recipe.epochs=12`. command: that was run. hardware: the machine.
    planned: trials by method. iterations: of a training, where it was evaluated by iteration."""

    preset: str
    changed: tuple[str, ...]
    command: str
    hardware: str
    planned: Mapping[str, int]
    iterations: int | None = None


@dataclass(frozen=True)
class RecordedRows:
    """The rows of a replication and the facts of its run."""

    rows: pd.DataFrame
    facts: Facts

    def as_study(self) -> Study:
        """The rows as a study without a directory, for the figures of the report."""
        empty = read_plan(None, [])
        rows = self.rows.assign(knobs=self.rows["knobs"].map(_to_json))
        return Study(Store.at("."), self.facts.preset, rows, empty, ())


def record(study: Study, facts: Facts, path: Path) -> None:
    """Write the rows of a study as they are now, with the facts of its run."""
    rows = study.rows[[name for name in ROW_SCHEMA.names if name in study.rows]].copy()
    rows[list(LEFT_OUT)] = None
    rows = rows.sort_values(["key", "level", "stage"], ignore_index=True)
    table = pa.Table.from_pandas(rows, schema=ROW_SCHEMA, preserve_index=False)
    table = table.replace_schema_metadata({FACTS: json.dumps(asdict(facts)).encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")


def read_recorded(path: Path) -> RecordedRows:
    """What `record` wrote, also in an earlier version: columns that it lacks are null."""
    table = pq.read_table(path)
    facts = json.loads(table.schema.metadata[FACTS])
    facts["changed"] = tuple(facts["changed"])
    rows = table.replace_schema_metadata(None).to_pandas(
        types_mapper={pa.int64(): pd.Int64Dtype()}.get
    )
    rows = rows.reindex(columns=ROW_SCHEMA.names)
    rows["knobs"] = rows["knobs"].map(json.loads)
    return RecordedRows(rows, Facts(**facts))


def make_facts(
    study: Study, *, preset: str, changed: tuple[str, ...], command: str, hardware: str
) -> Facts:
    """The facts of a run whose study directory is there."""
    planned = {str(method): int(n) for method, n in study.plan["method"].value_counts().items()}
    iterations = study.curves["iteration"].max() if "iteration" in study.curves else None
    last = None if iterations is None or pd.isna(iterations) else int(iterations)
    return Facts(preset, changed, command, hardware, dict(sorted(planned.items())), last)


def _to_json(knobs: Any) -> str:
    return json.dumps(knobs, sort_keys=True)
