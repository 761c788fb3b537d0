"""All rows as flat JSON objects, for programs that want neither Parquet nor tables; and what their
fields are."""

import json
import math

import pandas as pd

from analysis.columns import LEVEL
from analysis.metrics import KNOWN_METRICS
from trainables.storage.schema import SCHEMA_VERSION

MOST_ROWS = 100_000  # rows that are written unless --format names json: a million would be 1.5 GB
FRIENDLY = {  # fields that each object begins with: unit and meaning
    "method": ("", "name of the method"),
    "sparsity": ("fraction", "requested; null where the method's own rule decides"),
    "seed": ("", "seed of the trial"),
    "test_accuracy": ("%", "top-1 on the test images; the same as test_top1"),
    "params_millions": ("millions", "parameters, also those that are zero"),
    "model_size_mb": ("MB", "10^6 bytes of the network as it is, zeros included"),
    "inference_latency_ms": ("ms", "median at batch 1; null where it was not timed"),
}
UNITS = {  # of the columns of the rows that are numbers; what is not named has no unit
    **{name: metric.unit for name, metric in KNOWN_METRICS.items()},
    "sparsity_reached": "fraction",
    "compression": "times",
    "bytes": "bytes",
    "macs": "MACs",
    "effective_macs": "MACs",
    "product_macs": "MACs",
    "train_macs": "MACs",
    "train_seconds": "s",
    "trial_seconds": "s",
    "test_images": "images",
    "epochs": "epochs",
    "params": "parameters",
    "nonzero": "parameters",
    "prunable": "weights",
    "zeros": "weights",
    "speedup_b1": "times",
    "speedup_b256": "times",
}


def encode_rows_as_json(rows: pd.DataFrame) -> bytes:
    """All rows as a JSON array of flat objects, one a line; (key, level, stage) is in no two.

    Each starts with the fields of `FRIENDLY`, followed by every column of the row; what was not
    measured is null.
    """
    lines = []
    for row in rows.sort_values(LEVEL).astype(object).to_dict("records"):
        plain = {str(name): None if _is_nothing(value) else value for name, value in row.items()}
        first = {
            "method": plain["method"],
            "sparsity": plain["sparsity"],
            "seed": plain["seed"],
            "test_accuracy": plain["test_top1"],
            "params_millions": None if plain["params"] is None else plain["params"] / 1e6,
            "model_size_mb": None if plain["bytes"] is None else plain["bytes"] / 1e6,
            "inference_latency_ms": plain.get("latency_ms_b1"),
        }
        lines.append(json.dumps(first | plain, allow_nan=False))
    return ("[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n").encode()


def encode_fields_as_json(rows: pd.DataFrame) -> bytes:
    """What is in the objects of `encode_rows_as_json`: their unique key, and of every field its
    unit."""
    units = {name: unit for name, (unit, _) in FRIENDLY.items()}
    units |= {str(name): UNITS.get(str(name), "") for name in rows.columns if name not in units}
    content = {
        "of": "all_results.json",
        "rows": len(rows),
        "schema_version": SCHEMA_VERSION,
        "unique_key": LEVEL,
        "units": units,
        "meanings": {name: meaning for name, (_, meaning) in FRIENDLY.items()},
    }
    return (json.dumps(content, indent=1) + "\n").encode()


def _is_nothing(value: object) -> bool:
    """Null, or a number that JSON cannot carry."""
    return (
        value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value))
    )
