"""All rows as flat JSON objects, for programs that want neither Parquet nor tables."""

import json
import math

import pandas as pd

MOST_ROWS = 100_000  # rows that are written unless --format names json: a million would be 1.5 GB


def encode_rows_as_json(rows: pd.DataFrame) -> bytes:
    """All rows as a JSON array of flat objects, one a line.

    Each starts with method, sparsity, seed, test_accuracy (percent), params_millions, model_size_mb
    (10^6 bytes) and inference_latency_ms (batch 1), followed by every column of the row; what was
    not measured is null.
    """
    lines = []
    for row in rows.sort_values(["key", "level", "stage"]).astype(object).to_dict("records"):
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


def _is_nothing(value: object) -> bool:
    """Null, or a number that JSON cannot carry."""
    return (
        value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value))
    )
