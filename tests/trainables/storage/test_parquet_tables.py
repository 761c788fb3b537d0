"""The Parquet tables: what is written is read again, and what was damaged is never read as
something else."""

import io
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainables.storage.parquet_tables import (
    RETIRED,
    ROWS,
    SCHEMA_VERSION,
    TABLES,
    DamagedTable,
    decode,
    encode,
)

ROW = {
    "study": "s", "key": "d-m/magnitude/s0.500/seed0-01234567", "dataset": "digits", "model": "mlp", "seed": 0,
    "method": "magnitude", "knobs": "{}", "sparsity": 0.5, "level": 1, "stage": "final", "test_top1": 91.25,
    "params": 1000, "connected": True, "commit": "0123", "schema_version": SCHEMA_VERSION,
}  # fmt: skip


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
        decode(table, encode(table, [row, row])).to_pylist()
        == [{**dict.fromkeys(names), **row}] * 2
    )
    with pytest.raises(ValueError, match="has no column"):
        encode(table, [{**row, "colour": "red"}])


@pytest.mark.parametrize("table", TABLES)
def test_a_table_without_keys_is_damaged(table: str) -> None:
    row = {name: value for name, value in ROW.items() if name in TABLES[table].names}
    with pytest.raises(DamagedTable, match="kez|no keys"):
        decode(table, rewrite(encode(table, [row]), {"key": "kez"}))


def test_a_column_that_rows_never_had_is_damage_unless_they_are_newer() -> None:
    content = encode("rows", [ROW])
    with pytest.raises(DamagedTable, match="it has a column 'test_tnp1', so it is not of 'rows'"):
        decode("rows", rewrite(content, {"test_top1": "test_tnp1"}))
    newer = rewrite(encode("rows", [{**ROW, "schema_version": SCHEMA_VERSION + 1}]), joules=3.5)
    assert decode("rows", newer).to_pylist()[0]["test_top1"] == 91.25
    older = rewrite(content, **dict.fromkeys(RETIRED, 1.5))
    assert decode("rows", older).column_names == ROWS.names


def test_a_flipped_bit_is_noticed_or_harmless() -> None:
    content = encode("rows", [ROW, {**ROW, "level": 2}])
    whole, draw, noticed = decode("rows", content), random.Random(3), 0
    for _ in range(1500):
        damaged = bytearray(content)
        for _ in range(draw.choice([1, 1, 1, 2, 8])):
            damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        try:
            assert decode("rows", bytes(damaged)).equals(whole)
        except DamagedTable:
            noticed += 1
    assert noticed > 750


def test_a_file_that_is_cut_anywhere_is_damaged() -> None:
    content = encode("rows", [ROW])
    for length in range(0, len(content), 7):
        with pytest.raises(DamagedTable):
            decode("rows", content[:length])
