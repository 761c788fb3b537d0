"""Made-up studies with layers and learning curves, for the figures that show them."""

from pathlib import Path
from typing import Any

import yaml

from analysis.reading.load import load_study
from tests.analysis.synthetic import (
    Writer,
    make_own_rows,
    make_row,
    write_study,
    write_table,
)

LAYERS = {"conv.weight": 432, "body.0.weight": 2304, "body.1.weight": 9216, "fc.weight": 640}


def write_everything(folder: Path) -> Path:
    """A study that has something to show in every figure but the ranking."""
    write_study(folder, seeds=(1, 2, 3), sparsities=(0.5, 0.9, 0.98))
    writer = Writer(folder, seeds=(1, 2, 3))
    writer.trials = list(load_study(folder).plan.to_dict("records"))
    for trial in writer.trials:
        trial["retrain"] = None
    for seed in (1, 2, 3):
        writer.add(
            [
                make_row(
                    "l1_filter",
                    0.9,
                    seed,
                    sparsity_reached=0.91,
                    latency_ms_b1=1.0,
                    trial_seconds=30.0,
                )
            ]
        )
        writer.add(make_own_rows("han_iterative", (0.4, 0.7), seed))
        for count in (1, 10, 100):
            knobs = f'{{"iterations": {count}}}'
            writer.add([make_row("snip", 0.98, seed, knobs=knobs, connected=count > 1)])
    entry = {
        "dataset": "cifar10",
        "model": "resnet18",
        "method": "magnitude",
        "sparsity": 0.9,
        "value": 93.0,
    }
    spec = {"name": "everything", "published": [entry | {"source": "A 2020"}]}
    writer.store.write("study.yaml", yaml.safe_dump(spec).encode())
    writer.finish()
    write_details(folder, empty="random")
    return folder


def write_details(folder: Path, *, epochs: int = 4, empty: str = "") -> None:
    """Add layers and learning curves to a study: every layer as dense as the network, the first
    somewhat denser; of a method named `empty`, the second layer has nothing left. Accuracy rises to
    that of the row."""
    for key, frame in load_study(folder).rows.groupby("key"):
        rows = frame.to_dict("records")
        layers = [
            {
                "key": key,
                "level": row["level"],
                "stage": row["stage"],
                "layer": name,
                "shape": "",
                "weights": count,
            }
            | {
                "nonzero": _count_left(row, name, count, empty=row["method"] == empty),
                "macs": count,
            }
            for row in rows
            for name, count in LAYERS.items()
        ]
        write_table(folder, "layers", str(key), layers)
        curves = [
            {
                "key": key,
                "step": 10 * number + epoch,
                "epoch": epoch,
                "phase": "train",
                "split": split,
            }
            | {
                "loss": 1.0,
                "top1": row["test_top1"] - 20.0 / (epoch + 1) - (split == "train"),
                "lr": 0.1,
            }
            for number, row in enumerate(rows)
            for epoch in range(epochs)
            for split in ("train", "validation")
        ]
        write_table(folder, "curves", str(key), curves)


def _count_left(row: dict[str, Any], name: str, count: int, *, empty: bool) -> int:
    density = 1 - row["sparsity_reached"]
    if empty and name == "body.0.weight":
        return 0
    return round(count * (density**0.5 if name == "conv.weight" else density))
