"""All rows as flat JSON objects."""

import json
from pathlib import Path

from analysis.columns import LATENCY_COLUMNS
from analysis.reading.load import load_study
from analysis.report.rows_as_json import UNITS, encode_fields_as_json, encode_rows_as_json
from tests.analysis.synthetic import Writer, make_row
from trainables.storage.schema import ROW_SCHEMA


def test_rows_are_flat_and_complete(tmp_path: Path) -> None:
    row = make_row(
        "magnitude",
        0.5,
        7,
        test_top1=93.25,
        bytes=44_700_000,
        latency_ms_b1=1.5,
        test_loss=float("inf"),
    )
    writer = Writer(tmp_path)
    writer.add([row])
    writer.add([make_row("dense", 0.0, 7)])
    content = encode_rows_as_json(load_study(writer.finish()).rows)
    assert content.count(b"\n") == 2 + 2
    dense, first = json.loads(content)
    assert list(first)[:7] == [
        "method",
        "sparsity",
        "seed",
        "test_accuracy",
        "params_millions",
        "model_size_mb",
        "inference_latency_ms",
    ]
    assert (first["test_accuracy"], first["params_millions"]) == (93.25, 11.173962)
    assert (first["model_size_mb"], first["inference_latency_ms"], first["seed"]) == (44.7, 1.5, 7)
    assert set(ROW_SCHEMA.names) <= set(first)
    assert first["connected"] is True
    assert first["test_loss"] is None
    assert dense["inference_latency_ms"] is None
    assert not any(isinstance(value, dict | list) for value in first.values())


def test_the_fields_have_units_and_the_rows_a_unique_key(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2):
        writer.add([make_row("wanda", 0.5, seed, stage=stage) for stage in ("raw", "recalibrated")])
    rows = load_study(writer.finish()).rows
    fields = json.loads(encode_fields_as_json(rows))
    objects = json.loads(encode_rows_as_json(rows))
    assert fields["rows"] == len(objects) == 4
    keys = {tuple(row[name] for name in fields["unique_key"]) for row in objects}
    assert len(keys) == 4
    assert set(fields["units"]) == set(objects[0])
    assert fields["units"]["test_accuracy"] == fields["units"]["test_top1"] == "%"
    assert fields["units"]["train_seconds"] == "s" and fields["units"]["method"] == ""


def test_every_known_unit_is_of_a_column() -> None:
    assert set(UNITS) - set(LATENCY_COLUMNS) <= set(ROW_SCHEMA.names)
