"""The four Parquet tables of a study and how one trial's part of them is written and read.

*rows*: one per measured level and stage. *curves*: one per epoch and split. *layers*: one per layer
of a measured level. *latency*: one per measured level, stage and batch size, made afterwards by
`--measure`. Files are `<table>/<key>.parquet`. A trial is done when its file in `rows/` exists, so
of its three that one is written last. Imports neither torch nor Ray: the analysis reads studies
through this module.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.storage.checksum import BrokenSeal, read_note, seal

SCHEMA_VERSION = 1

_text, _int, _float, _bool = pa.string(), pa.int64(), pa.float64(), pa.bool_()

ROWS = pa.schema(
    [
        # identity: `sparsity` as requested, null where the method's own rule decides; `stage` e.g.
        # final, raw, recalibrated, finetuned
        ("study", _text),
        ("key", _text),
        ("dataset", _text),
        ("model", _text),
        ("method", _text),
        ("knobs", _text),  # JSON of the knobs that are not the default
        ("recipe", _text),  # JSON of the fields of the training recipe that are not the default
        ("retrain", _text),  # likewise of the retrain recipe; null where the trial does not use it
        ("sparsity", _float),
        ("seed", _int),
        ("level", _int),
        ("stage", _text),
        # outcome: accuracies in percent, losses in nats per image; best_epoch_* only when asked for
        ("test_top1", _float),
        ("test_top5", _float),
        ("test_loss", _float),
        ("val_top1", _float),
        ("best_epoch_test_top1", _float),
        # size
        ("params", _int),
        ("nonzero", _int),
        ("sparsity_reached", _float),
        ("compression", _float),
        ("macs", _int),
        ("effective_macs", _float),
        ("bytes", _int),
        # hardware of the training
        ("device", _text),
        ("threads", _int),
        ("precision", _text),
        ("compiled", _bool),
        # cost up to and including this level, without what was shared
        ("epochs", _int),
        ("train_seconds", _float),
        (
            "trial_seconds",
            _float,
        ),  # of the whole trial in its worker: data, training, pruning, measuring, writing
        ("attempts", _int),
        # health
        ("connected", _bool),
        ("emptied_layers", _text),
        ("notes", _text),
        # provenance; `digest` is the SHA-256 of the weights, buffers and masks that were measured
        ("digest", _text),
        ("data_digest", _text),
        ("commit", _text),
        ("versions", _text),
        ("host", _text),
        ("started", _text),
        ("finished", _text),
        ("schema_version", _int),
    ]
)

CURVES = pa.schema(
    [
        ("key", _text),
        ("step", _int),
        ("epoch", _int),
        ("phase", _text),
        ("split", _text),
        ("loss", _float),
        ("top1", _float),
        ("lr", _float),
    ]
)

LAYERS = pa.schema(
    [
        ("key", _text),
        ("level", _int),
        ("stage", _text),
        ("layer", _text),
        ("shape", _text),
        ("weights", _int),
        ("nonzero", _int),
        ("macs", _int),
    ]
)

LATENCY = pa.schema(
    [
        ("key", _text),
        ("level", _int),
        ("stage", _text),
        ("form", _text),  # dense, masked, smaller, or n:m where kernels for that pattern were used
        ("batch", _int),
        # times are null where the batch did not fit into memory; the interquartile range is the
        # third quartile less the first
        ("median_ms", _float),
        ("iqr_ms", _float),
        ("runs", _int),
        ("images_per_second", _float),
        ("peak_bytes", _int),  # GPU memory; null on the CPU
        # what was measured: levels of one form share a measurement, `measured_on` is the key whose
        # records it rests on
        ("measured_on", _text),
        ("zeros", _int),
        ("device", _text),
        ("threads", _int),
        ("precision", _text),
        ("notes", _text),
        ("commit", _text),
        ("versions", _text),
        ("host", _text),
        ("finished", _text),
    ]
)

TABLES = {"rows": ROWS, "curves": CURVES, "layers": LAYERS, "latency": LATENCY}

# Columns that say when, where and how long: they differ between two runs of the same trial, all
# others must not.
CIRCUMSTANCES = frozenset(
    {
        "train_seconds",
        "trial_seconds",
        "attempts",
        "host",
        "started",
        "finished",
        "commit",
        "versions",
    }
)


RETIRED = frozenset(
    {"latency_ms_b1", "latency_ms_b256", "latency_iqr_ms"}
)  # columns rows had before `latency`

NOTED = {
    "trial_seconds": float,
    "device": str,
    "epochs": int,
}  # columns of the last row that a file's note repeats


class Ended(NamedTuple):
    """What the rows of a trial say of it as a whole: what it took, where, and the levels that were
    measured."""

    seconds: float | None
    device: str | None
    epochs: int | None
    levels: frozenset[int]


class DamagedTable(ValueError):
    """Bytes that are not one of our tables, or not a whole one."""


def encode(table: str, rows: Sequence[Mapping[str, object]]) -> bytes:
    """Rows as the bytes of one Parquet file; a column that a row does not name is null.

    The file is sealed, and the seal's note says what it is.

    Raises:
        ValueError: a row names a column that the table's schema does not have.
    """
    schema = TABLES[table]
    unknown = {name for row in rows for name in row} - set(schema.names)
    if unknown:
        raise ValueError(f"table '{table}' has no column {sorted(unknown)}")
    buffer = io.BytesIO()
    written = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    # Plain and uncompressed: a file holds a handful of rows, is no larger so, and is read four
    # times as fast.
    pq.write_table(
        written, buffer, compression="none", use_dictionary=False, write_page_checksum=True
    )
    return seal(buffer.getvalue(), _note(table, written))


def decode(table: str, content: bytes, *, key: str | None = None) -> pa.Table:
    """The bytes of one Parquet file as a table in today's schema; columns the file lacks are null.

    Args:
        key: the trial that the file is named after, if it matters.

    Raises:
        DamagedTable: the bytes are not a whole Parquet file, or not of this table: without keys,
            with a column of another type or with one that this table never had, unless a newer
            version wrote it; or no rows are in it; or they are of another trial.
    """
    found = _decode(table, content)
    if key is not None:
        _check_key(found, key)
    return found


def _decode(table: str, content: bytes) -> pa.Table:
    schema = TABLES[table]
    try:
        read_note(content)
        # Without the data set machinery of read_table and without casts where there is nothing to
        # cast: a third of the time for a file of a few rows.
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        found = file.read(use_threads=False)
        if table == "rows" and not len(found):
            raise DamagedTable("it holds no rows")
        if found.schema.equals(schema):
            return found
        columns = [
            found[field.name].cast(field.type)
            if field.name in found.column_names
            else pa.nulls(len(found), field.type)
            for field in schema
        ]
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        raise DamagedTable(" ".join(str(error).split())[:200]) from error
    made = pa.table(columns, schema=schema)
    # Of a file without a seal, no checksum covers the names of columns.
    strange = sorted(set(found.column_names) - set(schema.names) - RETIRED)
    if "key" not in found.column_names or (table == "rows" and strange and not _is_newer(made)):
        raise DamagedTable(
            f"it has {f'a column {strange[0]!r}' if strange else 'no keys'}, so it is not of '{table}'"
        )
    return made


def summarise(content: bytes, key: str) -> Ended:
    """What a trial's *rows* say of it as a whole, from the bytes of their file, which is checked as
    a whole.

    Nothing is decoded where the note of the seal says it: a twentieth of the time.

    Raises:
        DamagedTable: see `decode`.
    """
    try:
        note = read_note(content)
    except BrokenSeal as error:
        raise DamagedTable(str(error)) from error
    noted = all(
        name in note and isinstance(note[name], kind | None) for name, kind in NOTED.items()
    )
    noted = (
        noted
        and isinstance(note.get("levels"), list)
        and all(isinstance(one, int) for one in note["levels"])
    )
    if not (noted and note.get("table") == "rows" and note.get("keys") == [key]):
        note = _note("rows", decode("rows", content, key=key))
    return Ended(note["trial_seconds"], note["device"], note["epochs"], frozenset(note["levels"]))


def _check_key(found: pa.Table, key: str) -> None:
    if set(found.column("key").to_pylist()) != {key}:
        raise DamagedTable("it is of another trial than its name says")


def _note(table: str, written: pa.Table) -> dict[str, Any]:
    """What the seal of a file says of it: its table, its keys, and of rows the levels and what the
    last one says."""
    note: dict[str, Any] = {"table": table, "keys": written.column("key").unique().to_pylist()}
    if table == "rows" and len(written):
        note |= {name: written.column(name)[-1].as_py() for name in NOTED}
        note["levels"] = written.column("level").drop_null().unique().to_pylist()
    return note


def _is_newer(rows: pa.Table) -> bool:
    """Whether a later version of the project wrote these rows."""
    return any(
        version is not None and version > SCHEMA_VERSION
        for version in rows["schema_version"].to_pylist()
    )
