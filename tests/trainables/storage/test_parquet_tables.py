"""The Parquet tables: what is written is read again, and what was damaged is never read as
something else.

Covers: trainables/storage/parquet_tables.py, trainables/storage/schema.py.
"""

import io
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainables.storage import layout
from trainables.storage.parquet_tables import (
    DamagedTable,
    decode_table,
    encode_table,
    read_summary,
    read_table,
    write_table,
)
from trainables.storage.schema import RETIRED, ROW_SCHEMA, SCHEMA_VERSION, TABLES
from trainables.storage.store import Store

ROW = {
    "study": "s",
    "key": "d-m/magnitude/s0.500/seed0-01234567",
    "dataset": "digits",
    "model": "mlp",
    "seed": 0,
    "method": "magnitude",
    "knobs": "{}",
    "sparsity": 0.5,
    "level": 1,
    "stage": "final",
    "test_top1": 91.25,
    "params": 1000,
    "connected": True,
    "commit": "0123",
    "schema_version": SCHEMA_VERSION,
}


def rewrite(content: bytes, change: dict[str, str] | None = None, **columns: object) -> bytes:
    """The file with other names of columns and further columns."""
    table = pq.read_table(io.BytesIO(content)).rename_columns(change or {})
    for name, value in columns.items():
        table = table.append_column(name, pa.array([value] * len(table)))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("table", TABLES)
def test_what_is_written_is_read(table: str) -> None:
    names = TABLES[table].names
    row = {name: value for name, value in ROW.items() if name in names}
    assert (
        decode_table(table, encode_table(table, [row, row])).to_pylist()
        == [{**dict.fromkeys(names), **row}] * 2
    )
    with pytest.raises(ValueError, match="has no column"):
        encode_table(table, [{**row, "colour": "red"}])


@pytest.mark.parametrize("table", TABLES)
def test_a_table_without_keys_is_damaged(table: str) -> None:
    row = {name: value for name, value in ROW.items() if name in TABLES[table].names}
    with pytest.raises(DamagedTable, match="kez|no keys"):
        decode_table(table, rewrite(encode_table(table, [row]), {"key": "kez"}))


def test_a_column_that_rows_never_had_is_damage_unless_they_are_newer() -> None:
    content = encode_table("rows", [ROW])
    with pytest.raises(DamagedTable, match="it has a column 'test_tnp1', so it is not of 'rows'"):
        decode_table("rows", rewrite(content, {"test_top1": "test_tnp1"}))
    newer = rewrite(
        encode_table("rows", [{**ROW, "schema_version": SCHEMA_VERSION + 1}]), joules=3.5
    )
    assert decode_table("rows", newer).to_pylist()[0]["test_top1"] == 91.25
    older = rewrite(content, **dict.fromkeys(RETIRED, 1.5))
    assert decode_table("rows", older).column_names == ROW_SCHEMA.names


def test_rows_of_version_1_are_read_without_its_later_columns() -> None:
    """A file that an earlier version wrote, with its checksum and note."""
    folder = Path(__file__).parents[2] / "written_before" / "finished" / "rows"
    for path in folder.rglob("*.parquet"):
        stored = pq.read_table(path)
        assert not {"test_images", "train_macs"} & set(stored.column_names)
        rows = decode_table("rows", path.read_bytes()).to_pylist()
        assert {(row["test_images"], row["train_macs"]) for row in rows} == {(None, None)}
        assert {row["schema_version"] for row in rows} == {1}
        assert all(row["test_top1"] > 0 and row["epochs"] is not None for row in rows)


def test_a_row_of_today_is_newer_than_one_without_its_columns() -> None:
    """So that an older version of the project takes the new columns for what they are, not for
    damage."""
    row = {**ROW, "test_images": 359, "train_macs": 3e18}
    (read,) = decode_table("rows", encode_table("rows", [row])).to_pylist()
    assert (read["test_images"], read["train_macs"]) == (359, 3e18)
    assert SCHEMA_VERSION == 4


def test_a_flipped_bit_is_noticed_or_harmless() -> None:
    content = encode_table("rows", [ROW, {**ROW, "level": 2}])
    whole, draw, noticed = decode_table("rows", content), random.Random(3), 0
    for _ in range(1500):
        damaged = bytearray(content)
        for _ in range(draw.choice([1, 1, 1, 2, 8])):
            damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        try:
            assert decode_table("rows", bytes(damaged)).equals(whole)
        except DamagedTable:
            noticed += 1
    assert noticed > 750


def test_a_file_that_is_cut_anywhere_is_damaged() -> None:
    content = encode_table("rows", [ROW])
    for length in range(0, len(content), 7):
        with pytest.raises(DamagedTable):
            decode_table("rows", content[:length])


def test_a_table_of_a_trial_lies_under_its_key(tmp_path: Path) -> None:
    store, key = Store.at(tmp_path), str(ROW["key"])
    write_table(store, layout.ROWS, key, [ROW])
    assert store.list("rows") == [f"rows/{key}.parquet"]
    assert read_table(store, layout.ROWS, key).to_pylist()[0]["test_top1"] == 91.25
    assert read_summary(store, key).levels == {1}
    write_table(store, layout.CURVES, key, [])  # of a trial without epochs
    assert len(read_table(store, layout.CURVES, key)) == 0
    with pytest.raises(FileNotFoundError):
        read_table(store, layout.LAYERS, key)
    store.write("rows/other.parquet", store.read(f"rows/{key}.parquet"))
    with pytest.raises(DamagedTable, match="of another trial"):
        read_table(store, layout.ROWS, "other")
