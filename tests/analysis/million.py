"""A made-up study of a million rows: 19 methods x 100 seeds, 527 sparsities a trial, and their
dense networks."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.analysis.synthetic import make_key, make_row
from trainables.storage.schema import ROW_SCHEMA

METHODS, SEEDS, LEVELS = 20, 100, 527


def write_million(folder: Path) -> Path:
    """2,000 files of up to 527 rows, written column by column."""
    rng = np.random.default_rng(0)
    names = [
        "dense",
        "magnitude",
        "random",
        "synflow",
        "snip",
        *(f"method_{index:02d}" for index in range(METHODS - 5)),
    ]
    densities = np.logspace(-0.01, -2.5, LEVELS)
    trials = []
    for number, method in enumerate(names):
        for seed in range(SEEDS):
            sparsities = np.zeros(1) if method == "dense" else (1 - densities).round(6)
            row = make_row(method, float(sparsities[-1]), seed)
            key = make_key(row)
            count = len(sparsities)
            columns: dict[str, pa.Array] = {}
            for field in ROW_SCHEMA:
                value = key if field.name == "key" else row.get(field.name)
                columns[field.name] = pa.array([value] * count, field.type)
            accuracy = (
                94 - number * 0.1 - 3 * np.log10(1 - sparsities) ** 2 + rng.normal(0, 0.2, count)
            )
            columns |= {"sparsity": pa.array(sparsities), "sparsity_reached": pa.array(sparsities)}
            columns |= {"test_top1": pa.array(accuracy), "level": pa.array(np.arange(count))}
            path = folder / "rows" / f"{key}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            table = pa.table(columns, schema=ROW_SCHEMA)
            pq.write_table(table, path, compression="none", use_dictionary=False)
            same = ("dataset", "model", "method", "knobs", "recipe", "seed")
            trials.append(
                {name: row[name] for name in same}
                | {"key": key, "sparsities": sparsities.tolist(), "parents": []}
            )
    (folder / "plan.json").write_text(json.dumps({"trials": trials}))
    (folder / "study.yaml").write_text("name: million\n")
    return folder
