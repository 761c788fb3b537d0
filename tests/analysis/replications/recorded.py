"""Made-up rows of replications, with numbers that can be checked by hand."""

import json

import pandas as pd

from trainables.storage.schema import ROW_SCHEMA


def make_rows(*rows: dict[str, object]) -> pd.DataFrame:
    """Rows with all columns; knobs are mappings, as `read_recorded` gives them."""
    filled = [
        {
            "key": f"{row['method']}/{row['seed']}",
            "dataset": "mnist",
            "model": "lenet_300_100",
            "stage": "final",
            "sparsity": 0.0,
            "level": 0,
            "recipe": "{}",
            "knobs": {},
            "threads": 1,
            "trial_seconds": 1800.0,
            "commit": "abc",
            "versions": "torch 2",
            "finished": "2026-11-30T07:00:00+00:00",
        }
        | row
        for row in rows
    ]
    return pd.DataFrame(filled).reindex(columns=ROW_SCHEMA.names)


def with_text_knobs(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows as `load_study` gives them."""
    return rows.assign(knobs=rows["knobs"].map(lambda knobs: json.dumps(knobs)))
