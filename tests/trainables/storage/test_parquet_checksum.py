"""The checksum footer of Parquet files: other readers do not see it, and no damage gets past it."""

import hashlib
import io
import random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainables.storage import parquet_tables
from trainables.storage.parquet_checksum import ChecksumMismatch, add_checksum, verify_checksum

KEY = "d-m/magnitude/s0.500/seed0-01234567"
ROWS: list[dict[str, Any]] = [
    {
        "key": KEY,
        "level": level,
        "trial_seconds": 0.25 * level,
        "device": "cpu",
        "epochs": level,
        "schema_version": 1,
    }
    for level in (1, 2)
]


@pytest.fixture
def plain() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"key": ["a", "b"], "value": [1, 2]}), buffer)
    return buffer.getvalue()


def test_a_file_with_a_checksum_is_the_same_table_to_any_reader(plain: bytes) -> None:
    checked = add_checksum(plain, {"what": "ü"})
    assert pq.read_table(io.BytesIO(checked)).equals(pq.read_table(io.BytesIO(plain)))
    assert verify_checksum(checked) == {"what": "ü"} and verify_checksum(plain) == {}
    footer = 8 + int.from_bytes(plain[-8:-4], "little")
    assert checked[:100] == plain[:100] and checked[-footer:] == plain[-footer:]


def test_the_digest_covers_all_but_itself(plain: bytes) -> None:
    checked = add_checksum(plain, {})
    start = checked.index(b"sha-256:")
    rest = checked[:start] + checked[start + 40 :]
    assert checked[start + 8 : start + 40] == hashlib.sha256(rest).digest()


def test_every_flipped_bit_breaks_the_checksum_or_removes_it(plain: bytes) -> None:
    checked = add_checksum(plain, {"what": "x"})
    mark = checked.index(b"sha-256:")
    broken = 0
    for position in range(len(checked)):
        damaged = bytearray(checked)
        damaged[position] ^= 1 << position % 8
        try:
            assert verify_checksum(bytes(damaged)) == {}
            assert mark <= position < mark + 8 or position >= len(checked) - 8, (
                "mark and length say where the checksum is"
            )
        except ChecksumMismatch:
            broken += 1
    assert broken >= len(checked) - 16


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\x00" * 7, b"\xff" * 60, b"sha-256:" * 20])
def test_what_is_no_parquet_file_has_no_note(content: bytes) -> None:
    assert verify_checksum(content) == {}


@pytest.mark.parametrize("note", [b"", b"[" * 100_000, b"[1]", b"\xff", b'{"a"'])
def test_a_note_that_is_no_mapping_is_no_note(note: bytes) -> None:
    body, footer = b"PAR1" + note + len(note).to_bytes(4, "little"), b"\x00\x00\x00\x00PAR1"
    digest = hashlib.sha256(body + footer).digest()
    assert verify_checksum(body + b"sha-256:" + digest + footer) == {}


def test_the_last_row_is_summarised_without_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    content = parquet_tables.encode_table("rows", ROWS)
    monkeypatch.setattr(parquet_tables, "decode_table", None)
    assert parquet_tables.summarise_rows(content, KEY) == (0.5, "cpu", 2, {1, 2})


@pytest.mark.parametrize(
    "note",
    [
        {},
        {"table": "rows", "keys": [KEY]},
        {"table": "rows", "keys": [KEY], "trial_seconds": "9", "device": "gpu", "epochs": 7},
        {"table": "rows", "keys": ["x"], "trial_seconds": 9.0, "device": "gpu", "epochs": 7},
        {
            "table": "curves",
            "keys": [KEY],
            "trial_seconds": 9.0,
            "device": "gpu",
            "epochs": 7,
            "levels": [0],
        },
        {
            "table": "rows",
            "keys": [KEY],
            "trial_seconds": 9.0,
            "device": "gpu",
            "epochs": 7,
            "levels": ["0"],
        },
        {"table": "rows", "keys": [KEY], "trial_seconds": 9.0, "device": "gpu", "epochs": 7},
    ],
)
def test_where_the_note_does_not_say_it_the_rows_do(note: dict[str, object]) -> None:
    buffer = io.BytesIO()
    pq.write_table(
        parquet_tables.decode_table("rows", parquet_tables.encode_table("rows", ROWS)), buffer
    )
    assert parquet_tables.summarise_rows(add_checksum(buffer.getvalue(), note), KEY) == (
        0.5,
        "cpu",
        2,
        {1, 2},
    )


def test_rows_without_a_cost_or_of_another_trial() -> None:
    assert parquet_tables.summarise_rows(
        parquet_tables.encode_table("rows", [{"key": KEY}]), KEY
    ) == (
        None,
        None,
        None,
        set(),
    )
    several: list[list[dict[str, Any]]] = [
        ROWS,
        [*ROWS, {"key": "other"}],
        [{"key": None}],
        [{"level": 1}],
    ]
    for rows in several:
        with pytest.raises(parquet_tables.DamagedTable, match="of another trial"):
            parquet_tables.summarise_rows(parquet_tables.encode_table("rows", rows), "other")


def test_damage_is_never_read_as_something_else() -> None:
    content, draw, noticed = parquet_tables.encode_table("rows", ROWS), random.Random(5), 0
    for _ in range(1500):
        damaged = bytearray(content)
        for _ in range(draw.choice([1, 1, 1, 2, 8])):
            damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        try:
            assert parquet_tables.summarise_rows(bytes(damaged), KEY) == (0.5, "cpu", 2, {1, 2})
        except parquet_tables.DamagedTable:
            noticed += 1
    assert noticed > 1400
