"""A trial's course, epoch by epoch, from rows of its `curves` table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any


@dataclass(frozen=True)
class Point:
    """One epoch of a trial.

    epoch: counted from 1 through all trainings of the trial, e.g. of a lottery ticket's levels.
    numbers: `train/loss`, `train/top1`, the same of `validation` where there is such a split, and
    `lr`; losses in nats, accuracies in percent.
    """

    epoch: int
    numbers: dict[str, float]


def read_points(rows: Iterable[Mapping[str, Any]], *, after: int = 0) -> list[Point]:
    """Rows of `curves`, in their order, as points; `after` epochs came before them."""
    found = []
    for number, (_, group) in enumerate(groupby(rows, key=lambda row: row["step"]), after + 1):
        numbers: dict[str, Any] = {}
        for row in group:
            numbers |= {
                f"{row['split']}/loss": row["loss"],
                f"{row['split']}/top1": row["top1"],
                "lr": row["lr"],
            }
        found.append(
            Point(
                number, {name: float(value) for name, value in numbers.items() if value is not None}
            )
        )
    return found
