"""The numbers that are logged: of every epoch, from rows of the `curves` table, and of every
measured level, from its row."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

LEVEL_COLUMNS = (  # of a row
    "sparsity",
    "sparsity_reached",
    "test_top1",
    "test_top5",
    "test_loss",
    "val_top1",
    "params",
    "nonzero",
    "compression",
    "macs",
    "effective_macs",
    "bytes",
    "epochs",
    "train_seconds",
)


@dataclass(frozen=True)
class EpochNumbers:
    """The numbers of one epoch of a trial.

    epoch: counted from 1 through all trainings of the trial, e.g. of a lottery ticket's levels.
    numbers: `train/loss`, `train/top1`, the same of `validation` where there is such a split, and
    `lr`; losses in nats, accuracies in percent.
    """

    epoch: int
    numbers: dict[str, float]


def numbers_by_epoch(rows: Iterable[Mapping[str, Any]], *, after: int = 0) -> list[EpochNumbers]:
    """The numbers of each epoch, from rows of `curves` in their order; `after` epochs came before
    them. Evaluations within an epoch are left out."""
    epochs = []
    rows = [row for row in rows if row.get("iteration") is None]
    for epoch, (_, group) in enumerate(groupby(rows, key=lambda row: row["step"]), after + 1):
        numbers: dict[str, Any] = {}
        for row in group:
            numbers |= {
                f"{row['split']}/loss": row["loss"],
                f"{row['split']}/top1": row["top1"],
                "lr": row["lr"],
            }
        present = {name: float(value) for name, value in numbers.items() if value is not None}
        epochs.append(EpochNumbers(epoch, present))
    return epochs


def level_numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a level as `<stage>/<column>`, without those that were not measured."""
    stage = row["stage"]
    return {
        f"{stage}/{name}": float(row[name]) for name in LEVEL_COLUMNS if row.get(name) is not None
    }
