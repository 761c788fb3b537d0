"""How a trial's part of a Parquet table is written, read and checked; `schema.py` has the columns.

Files are `<table>/<key>.parquet`. A trial is done when its file in `rows/` exists, so of its three
files that one is written last. Imports neither torch nor Ray: the analysis reads studies through
this module.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.storage import layout
from trainables.storage.parquet_checksum import ChecksumMismatch, add_checksum, verify_checksum
from trainables.storage.schema import RETIRED, SCHEMA_VERSION, TABLES
from trainables.storage.store import Store

# Columns of a trial's last row that the note of its file repeats, with their types.
NOTED = {"trial_seconds": float, "device": str, "epochs": int}


class TrialSummary(NamedTuple):
    """What the rows of a trial say of it as a whole: the seconds it took, on which device, the
    epochs it trained, and the levels that were measured."""

    seconds: float | None
    device: str | None
    epochs: int | None
    levels: frozenset[int]


class DamagedTable(ValueError):
    """Bytes that are not one of our tables, or not a whole one."""


def write_table(store: Store, table: str, key: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a trial's part of a table into its study directory.

    Raises:
        ValueError: a row names a column that the table's schema does not have.
        StoreLost: the study directory cannot be used any more.
    """
    store.write(layout.table_file(table, key), encode_table(table, rows))


def read_table(store: Store, table: str, key: str) -> pa.Table:
    """A trial's part of a table, from its study directory, in today's schema.

    Raises:
        FileNotFoundError: there is none.
        DamagedTable: see `decode_table`.
        StoreLost: the study directory cannot be used any more.
    """
    return decode_table(table, store.read(layout.table_file(table, key)), key=key)


def read_summary(store: Store, key: str) -> TrialSummary:
    """What the rows of a trial say of it as a whole, from its study directory.

    Raises:
        FileNotFoundError: it has no rows.
        DamagedTable: see `decode_table`.
        StoreLost: the study directory cannot be used any more.
    """
    return summarise_rows(store.read(layout.table_file(layout.ROWS, key)), key)


def encode_table(table: str, rows: Sequence[Mapping[str, object]]) -> bytes:
    """Rows as the bytes of one Parquet file; a column that a row does not name is null.

    The file gets a checksum, and a note that says what it holds.

    Raises:
        ValueError: a row names a column that the table's schema does not have.
    """
    schema = TABLES[table]
    unknown = {column for row in rows for column in row} - set(schema.names)
    if unknown:
        raise ValueError(f"table '{table}' has no column {sorted(unknown)}")
    buffer = io.BytesIO()
    written = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    # Plain and uncompressed: a file holds a handful of rows, is no larger so, and is read four
    # times as fast.
    pq.write_table(
        written, buffer, compression="none", use_dictionary=False, write_page_checksum=True
    )
    return add_checksum(buffer.getvalue(), _make_note(table, written))


def decode_table(table: str, content: bytes, *, key: str | None = None) -> pa.Table:
    """The bytes of one Parquet file as a table in today's schema; columns the file lacks are null.

    Args:
        key: the trial that the file is named after, if it matters.

    Raises:
        DamagedTable: the bytes are not a whole Parquet file, or not of this table: without keys,
            with a column of another type or with one that this table never had, unless a newer
            version wrote it; or there are no rows in the table *rows*; or they are of another
            trial.
    """
    decoded = _decode(table, content)
    if key is not None and set(decoded.column("key").to_pylist()) - {key}:
        raise DamagedTable("it is of another trial than its name says")
    return decoded


def summarise_rows(content: bytes, key: str) -> TrialSummary:
    """What the rows of a trial say of it as a whole, from the bytes of their file, which is checked
    as a whole.

    Nothing is decoded where the note of the file says it: that takes a twentieth of the time.

    Raises:
        DamagedTable: see `decode_table`.
    """
    try:
        note = verify_checksum(content)
    except ChecksumMismatch as error:
        raise DamagedTable(str(error)) from error
    if not (_is_summary(note) and note.get("table") == layout.ROWS and note.get("keys") == [key]):
        note = _make_note(layout.ROWS, decode_table(layout.ROWS, content, key=key))
    return TrialSummary(
        note["trial_seconds"], note["device"], note["epochs"], frozenset(note["levels"])
    )


def _decode(table: str, content: bytes) -> pa.Table:
    schema = TABLES[table]
    try:
        verify_checksum(content)
        # Without the data set machinery of read_table and without casts where there is nothing to
        # cast: a third of the time for a file of a few rows.
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        stored = file.read(use_threads=False)
        if table == layout.ROWS and not len(stored):
            raise DamagedTable("it holds no rows")
        if stored.schema.equals(schema):
            return stored
        columns = [
            stored[field.name].cast(field.type)
            if field.name in stored.column_names
            else pa.nulls(len(stored), field.type)
            for field in schema
        ]
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        raise DamagedTable(" ".join(str(error).split())[:200]) from error
    decoded = pa.table(columns, schema=schema)
    # In a file without our checksum, nothing protects the names of columns.
    strange = sorted(set(stored.column_names) - set(schema.names) - RETIRED)
    if "key" not in stored.column_names or (
        table == layout.ROWS and strange and not _is_newer(decoded)
    ):
        what = f"a column {strange[0]!r}" if strange else "no keys"
        raise DamagedTable(f"it has {what}, so it is not of '{table}'")
    return decoded


def _make_note(table: str, written: pa.Table) -> dict[str, Any]:
    """What the note of a file says: its table, its keys, and of *rows* the levels and some columns
    of the last row."""
    note: dict[str, Any] = {"table": table, "keys": written.column("key").unique().to_pylist()}
    if table == layout.ROWS and len(written):
        note |= {column: written.column(column)[-1].as_py() for column in NOTED}
        note["levels"] = written.column("level").drop_null().unique().to_pylist()
    return note


def _is_summary(note: Mapping[str, Any]) -> bool:
    """Whether a note holds all that `TrialSummary` needs; one of another version may not."""
    has_columns = all(
        column in note and isinstance(note[column], kind | None) for column, kind in NOTED.items()
    )
    levels = note.get("levels")
    return has_columns and isinstance(levels, list) and all(isinstance(n, int) for n in levels)


def _is_newer(rows: pa.Table) -> bool:
    """Whether a later version of the project wrote these rows."""
    return any(
        version is not None and version > SCHEMA_VERSION
        for version in rows["schema_version"].to_pylist()
    )
