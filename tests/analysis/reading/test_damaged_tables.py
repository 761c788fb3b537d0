"""Damaged Parquet files of a study directory are named, and the others are read.

Covers: analysis/reading/load.py.
"""

import io
import struct
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.reading.load import load_study
from analysis.reading.study_completeness import find_missing_trials
from tests.analysis.reading.conftest import KEYS, ROWS
from trainables.storage.parquet_tables import encode_table
from trainables.storage.schema import TABLES
from trainables.storage.store import Store


def parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def flip(content: bytes) -> bytes:
    """One bit of the keys: of the data, which begin with their length, not of the statistics before
    them."""
    position = content.index(struct.pack("<I", len(KEYS[0])) + KEYS[0].encode()) + 4
    return content[:position] + bytes([content[position] ^ 16]) + content[position + 1 :]


def read(content: bytes) -> pa.Table:
    return pq.read_table(io.BytesIO(content))


def encode_other_table(table: str) -> bytes:
    if table == "curves":
        return encode_table("layers", [{"key": KEYS[0], "level": 1}])
    return encode_table("curves", [{"key": KEYS[0], "epoch": 1}])


def encode_other_trial(table: str) -> bytes:
    return encode_table(table, [{"key": KEYS[1], **(ROWS[1] if table == "rows" else {})}])


TEXT_FOR_NUMBERS = pa.table({"key": [KEYS[0]], "level": ["one"], "epoch": ["one"]})
DAMAGE: dict[str, Callable[[str, bytes], bytes]] = {
    "nothing in it": lambda table, content: b"",
    "cut off": lambda table, content: content[: len(content) // 2],
    "a shorter end": lambda table, content: content[:-1],
    "a flipped bit": lambda table, content: flip(content),
    "another format": lambda table, content: b"<html>not found</html>",
    "other Parquet": lambda table, content: parquet(pa.table({"a": [1], "b": ["x"]})),
    "another table": lambda table, content: encode_other_table(table),
    "without keys": lambda table, content: parquet(read(content).drop_columns(["key"])),
    "a renamed column": lambda table, content: parquet(
        read(content).rename_columns({"key": "kez"})
    ),
    "a name that is no text": lambda table, content: content.replace(b"\x03key", b"\x03\xffey"),
    "a type": lambda table, content: parquet(TEXT_FOR_NUMBERS),
    "another trial": lambda table, content: encode_other_trial(table),
}


# Of all tables, quickly; what is read of the others is checked as rows are.
QUICK = ("a flipped bit", "a type", "another trial")
# A file of one of the tables beside the rows may pass for one of another, with whom it shares its
# columns.
CASES = [
    pytest.param(
        *(table, damage),
        marks=[] if table == "rows" or damage in QUICK else [pytest.mark.slow],
    )
    for table in TABLES
    for damage in DAMAGE
    if table == "rows" or damage != "another table"
]


@pytest.mark.parametrize(("table", "damage"), CASES)
def test_a_damaged_table_is_named_and_the_others_are_read(
    table: str, damage: str, store: Store
) -> None:
    path = f"{table}/{KEYS[0]}.parquet"
    store.write(path, DAMAGE[damage](table, store.read(path)))
    study = load_study(store)
    frame = {
        "rows": study.rows,
        "curves": study.curves,
        "layers": study.layers,
        "latency": study.rows,
    }[table]
    (warning,) = study.warnings
    assert f"skipped {path}: " in warning and warning.isprintable()
    assert ("run the study again" in warning) == (table == "rows")
    if table == "latency":
        assert frame["latency_ms_b1"].notna().tolist() == [key != KEYS[0] for key in frame["key"]]
    else:
        assert set(frame["key"]) == set(KEYS[1:3])
    missing = find_missing_trials(study)
    assert missing.unreadable == ({KEYS[0]} if table == "rows" else set())
    assert len(missing.failed) == 1 and missing.done == (2 if table == "rows" else 3)


def test_rows_of_a_newer_project_are_read_and_named(store: Store) -> None:
    path = f"rows/{KEYS[0]}.parquet"
    newer = pq.read_table(io.BytesIO(store.read(path))).drop_columns(["schema_version"])
    newer = newer.append_column("schema_version", pa.array([7])).append_column(
        "joules", pa.array([3.5])
    )
    store.write(path, parquet(newer))
    study = load_study(store)
    (warning,) = study.warnings
    assert (
        len(study.rows) == 3
        and "schema version 7" in warning
        and "update this project" in warning
        and path in warning
    )
