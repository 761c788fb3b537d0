"""A whole study of four trials, one of them failed, and a copy of it to be damaged."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.reading.load import Study, load_study
from tests.analysis.synthetic import Writer, make_key, make_row
from trainables.storage.parquet_tables import encode_table
from trainables.storage.store import Store

ROWS = [make_row("magnitude", sparsity, seed) for sparsity in (0.5, 0.9) for seed in (1, 2)]


KEYS = [make_key(row) for row in ROWS]


SPEC: dict[str, Any] = {
    "name": "whole",
    "description": "d",
    "dataset": "cifar10",
    "model": "resnet18",
    "recipe": {"epochs": 3},
    "retrain": {},
    "methods": [{"name": "magnitude"}],
    "sparsities": [0.5, 0.9],
    "seeds": [1, 2],
    "also": [],
    "resources": {"cpus_per_trial": 1, "gpus_per_trial": 0},
    "published": [
        {
            **dict.fromkeys(("dataset", "model", "method", "source"), "x"),
            "sparsity": 0.5,
            "value": 90.0,
        }
    ],
}


RECORDS: dict[str, dict[str, Any]] = {
    "curves": {"epoch": 0, "phase": "train", "split": "train", "loss": 1.0, "top1": 50.0},
    "layers": {"level": 1, "stage": "final", "layer": "a", "weights": 9, "nonzero": 3},
    "latency": {
        "level": 1,
        "stage": "final",
        "form": "masked",
        "batch": 1,
        "median_ms": 1.0,
        "runs": 9,
    },
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A whole study of four trials, one of them failed."""
    writer = Writer(tmp_path_factory.mktemp("whole"))
    for row in ROWS[:3]:
        writer.add([row])
    writer.add([ROWS[3]], outcome="failed")
    store = Store.at(writer.finish())
    store.write("study.yaml", yaml.safe_dump(SPEC).encode())
    for table, record in RECORDS.items():
        for key in KEYS[:3]:
            store.write(f"{table}/{key}.parquet", encode_table(table, [{"key": key, **record}]))
    study = load_study(store)
    assert study.warnings == [] and len(study.rows) == 3
    return study


@pytest.fixture
def store(whole: Study, tmp_path: Path) -> Store:
    """A copy of it to be damaged."""
    return Store.at(shutil.copytree(whole.store.uri, tmp_path / "study"))
