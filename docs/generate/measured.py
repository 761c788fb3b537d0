"""The studies that the methods' pages show: which of them shows a method, and what is said of
it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

DOCS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class MeasuredStudy:
    """A study whose table, as `curves.tabulate` makes it, lies in `docs/`.

    title: of the section of a method's page. what: the network and its training, in a few words.
    """

    name: str
    title: str
    what: str

    @property
    def path(self) -> Path:
        """The file with the table; it need not be there."""
        return DOCS / f"{self.name}.csv"

    @cached_property
    def table(self) -> pd.DataFrame:
        """What was measured."""
        return pd.read_csv(self.path)

    @cached_property
    def methods(self) -> frozenset[str]:
        """Those that were measured."""
        return frozenset(self.table["method"]) if self.path.is_file() else frozenset()


# A method is shown by the first that has it.
STUDIES = (
    MeasuredStudy(
        "trained_cifar10",
        "On a trained ResNet-20 and CIFAR-10",
        "a ResNet-20 that others have trained, on CIFAR-10, and one epoch of retraining where the "
        "method retrains",
    ),
    MeasuredStudy(
        "digits",
        "On the embedded study",
        "8x8 digits, ResNet-8, 12 epochs and 6 of retraining",
    ),
)


def find_study(method: str) -> MeasuredStudy | None:
    """The study that shows a method; None where none has measured it."""
    return next((study for study in STUDIES if method in study.methods), None)
