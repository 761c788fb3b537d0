"""The three Parquet tables of a study and how one trial's part of them is written and read.

*rows*: one per measured level and stage. *curves*: one per epoch and split. *layers*: one per layer of a measured
level. Files are `<table>/<key>.parquet`. A trial is done when its file in `rows/` exists, so that one is written last.
Imports neither torch nor Ray: the analysis reads studies through this module.
"""

import io
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA_VERSION = 1

_text, _int, _float, _bool = pa.string(), pa.int64(), pa.float64(), pa.bool_()

ROWS = pa.schema(
    [
        # identity: `sparsity` as requested, null where the method's own rule decides; `stage` e.g. final, raw,
        # recalibrated, finetuned
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
        # hardware; latencies are null until measured on their own
        ("latency_ms_b1", _float),
        ("latency_ms_b256", _float),
        ("latency_iqr_ms", _float),
        ("device", _text),
        ("threads", _int),
        ("precision", _text),
        # cost up to and including this level, without what was shared
        ("epochs", _int),
        ("train_seconds", _float),
        ("trial_seconds", _float),  # of the whole trial in its worker: data, training, pruning, measuring, writing
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

TABLES = {"rows": ROWS, "curves": CURVES, "layers": LAYERS}

# Columns that say when, where and how long: they differ between two runs of the same trial, all others must not.
CIRCUMSTANCES = frozenset(
    {"train_seconds", "trial_seconds", "attempts", "host", "started", "finished", "commit", "versions"}
)


def encode(table: str, rows: Sequence[Mapping[str, object]]) -> bytes:
    """Rows as the bytes of one Parquet file; a column that a row does not name is null.

    Raises:
        ValueError: a row names a column that the table's schema does not have.
    """
    schema = TABLES[table]
    unknown = {name for row in rows for name in row} - set(schema.names)
    if unknown:
        raise ValueError(f"table '{table}' has no column {sorted(unknown)}")
    buffer = io.BytesIO()
    written = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    # Plain and uncompressed: a file holds a handful of rows, is no larger so, and is read four times as fast.
    pq.write_table(written, buffer, compression="none", use_dictionary=False)
    return buffer.getvalue()


def decode(table: str, content: bytes) -> pa.Table:
    """The bytes of one Parquet file as a table in today's schema; columns the file lacks are null.

    Raises:
        pyarrow.ArrowInvalid: the bytes are not a Parquet file, or a column has another type.
    """
    schema = TABLES[table]
    found = pq.read_table(io.BytesIO(content))
    columns = [
        found[field.name].cast(field.type) if field.name in found.column_names else pa.nulls(len(found), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
