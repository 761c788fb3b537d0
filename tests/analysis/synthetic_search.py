"""A made-up search in which some dimensions matter, written as a real one writes it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from trainables.storage.parquet_tables import encode_table
from trainables.storage.store import Store

SPEC: dict[str, Any] = {
    "name": "made_up",
    "description": "A search that was made up.",
    "dataset": "digits",
    "model": "resnet8",
    "method": "synflow",
    "sparsities": [0.9, 0.95],
    "space": {
        "iterations": {"log_range": [1, 500]},
        "schedule": {"choices": ["exponential", "linear"]},
        "recipe.lr": {"log_range": [0.01, 0.1], "when": {"schedule": "linear"}},
    },
    "strategy": {"draw": "random", "stop": "asha", "order": "flow"},
    "objective": {"max_effective_macs": None, "pareto": False},
}


def write_candidate(folder: Path, number: int, sparsity: float, **known: Any) -> None:
    candidate = {
        "sparsity": sparsity,
        "number": number,
        "key": f"k{sparsity}-{number}",
        "images": 500,
        **known,
    }
    path = folder / f"candidates/s{sparsity:g}/{number:05d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(candidate))


def write_search(folder: Path, count: int = 40, *, confirmed: bool = True) -> Path:
    """A search in which iterations matter (none: disconnected; many: as good), the schedule a
    little, the rate not."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "search.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    (folder / "study.yaml").write_text(yaml.safe_dump({"name": "made_up"}))
    for sparsity in (0.9, 0.95):
        for number in range(count):
            iterations = int(np.exp(rng.uniform(0, np.log(500))))
            linear = bool(rng.random() < 0.5)
            configuration: dict[str, Any] = {
                "iterations": iterations,
                "schedule": "linear" if linear else "exponential",
            }
            if linear:
                configuration["recipe.lr"] = float(rng.uniform(0.01, 0.1))
            final = 60 + 6 * min(np.log(iterations), 4.0) - 2 * linear + rng.normal(0, 0.3)
            values = [float(final - 30 / epoch) for epoch in range(1, 9)]
            known: dict[str, Any] = {
                "configuration": configuration,
                "ended": number,
                "score": float(final + rng.normal(0, 2)),
            }
            if iterations < 3:
                known |= {
                    "outcome": "disconnected",
                    "emptied_layers": "a, b",
                    "epochs": 0,
                    "values": [],
                }
            elif final < 76:
                known |= {"outcome": "stopped", "epochs": 2, "values": values[:2]}
            else:
                done = {"val_top1": float(final), "effective_macs": 1000.0 + number}
                known |= {"outcome": "done", "epochs": 8, "values": values, **done}
            write_candidate(folder, number, sparsity, seconds=1.5, **known)
    if confirmed:
        write_best(folder)
    return folder


def write_best(folder: Path) -> None:
    (folder / "best.yaml").write_text("name: made_up-best\n")
    store = Store.at(folder / "best")
    store.write("study.yaml", b"name: made_up-best\n")
    for seed in (1, 2, 3):
        for method, sparsity, top1 in (
            ("dense", 0.0, 95.0),
            ("synflow", 0.9, 80.0 + seed),
            ("synflow", 0.95, 70.0 + seed),
        ):
            key = f"digits-resnet8/{method}/s{sparsity:.3f}/seed{seed}"
            row = {
                "key": key,
                "method": method,
                "sparsity": sparsity,
                "seed": seed,
                "knobs": "{}",
                "recipe": "{}",
            }
            row |= {
                "dataset": "digits",
                "model": "resnet8",
                "level": 1,
                "stage": "final",
                "test_top1": top1,
            }
            store.write(
                f"rows/{key}.parquet",
                encode_table("rows", [{**row, "val_top1": top1 + 1, "schema_version": 1}]),
            )
