"""What a claim is about: one number for every seed, made of the rows of a replication."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import pandas as pd

NEAR = 5e-4  # how far a requested sparsity may lie from the one that a cell names


@dataclass(frozen=True)
class Cell:
    """Some rows, one per seed: of a network, a method with its knobs, a stage and a sparsity.

    sparsity: as requested, over the weights that the row names; 0 of the dense network. knobs:
        those that tell two entries of the method apart; others may have any value.
    """

    model: str
    method: str
    sparsity: float = 0.0
    stage: str = "final"
    knobs: Mapping[str, object] = field(default_factory=dict)

    def select(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows of the cell."""
        chosen = (rows["model"] == self.model) & (rows["method"] == self.method)
        chosen &= rows["stage"] == self.stage
        chosen &= (rows["sparsity"].astype(float) - self.sparsity).abs() < NEAR
        for name, value in self.knobs.items():
            chosen &= rows["knobs"].map(lambda knobs, name=name: knobs.get(name)) == value
        return rows[chosen]


class Quantity(Protocol):
    """A number that every seed has."""

    @property
    def unit(self) -> str:
        """What stands behind the number."""

    def of_seeds(self, rows: pd.DataFrame) -> "pd.Series[float]":
        """One value per seed, by seed, on the scale on which they are averaged; none for a seed
        that lacks a part of it."""

    def read(self, value: float) -> float:
        """A mean or a bound on that scale as the number that is named."""


@dataclass(frozen=True)
class Value:
    """A column of a cell; `error` is 100 less the test accuracy, in percent."""

    cell: Cell
    column: str
    unit: str = "%"

    def of_seeds(self, rows: pd.DataFrame) -> "pd.Series[float]":
        """The column's values by seed."""
        chosen = self.cell.select(rows)
        column = "test_top1" if self.column == "error" else self.column
        values = chosen.set_index("seed")[column].astype(float).dropna()
        return 100 - values if self.column == "error" else values

    def read(self, value: float) -> float:
        """As it is."""
        return value


@dataclass(frozen=True)
class Difference:
    """A column of one cell less that of another, seed by seed."""

    cell: Cell
    other: Cell
    column: str
    unit: str = "points"

    def of_seeds(self, rows: pd.DataFrame) -> "pd.Series[float]":
        """The differences by seed."""
        first, second = (Value(cell, self.column).of_seeds(rows) for cell in self._cells)
        return (first - second).dropna()

    @property
    def _cells(self) -> tuple[Cell, Cell]:
        return self.cell, self.other

    def read(self, value: float) -> float:
        """As it is."""
        return value


@dataclass(frozen=True)
class Ratio:
    """A column of one cell divided by that of another, seed by seed; averaged as logarithms, so
    that twice and half as much are equally far from 1.

    percent_less: name it as by how many percent the first is smaller.
    """

    cell: Cell
    other: Cell
    column: str
    percent_less: bool = False

    @property
    def unit(self) -> str:
        """Times, or percent."""
        return "%" if self.percent_less else "×"

    def of_seeds(self, rows: pd.DataFrame) -> "pd.Series[float]":
        """The logarithms of the ratios by seed; with percent_less of their inverse, so that more is
        more in either form."""
        first, second = (
            Value(cell, self.column).of_seeds(rows).map(math.log)
            for cell in (self.cell, self.other)
        )
        logarithms = (first - second).dropna()
        return -logarithms if self.percent_less else logarithms

    def read(self, value: float) -> float:
        """The ratio, or the percentage."""
        return 100 * (1 - math.exp(-value)) if self.percent_less else math.exp(value)


@dataclass(frozen=True)
class LastWhole:
    """The decimal logarithm of the largest compression at which every layer still has weights, of
    those that were tried up to the first at which one has none; less that of another method, if one
    is named."""

    model: str
    method: str
    other: str | None = None
    unit: str = ""

    def of_seeds(self, rows: pd.DataFrame) -> "pd.Series[float]":
        """The logarithms by seed, 0 where a layer is emptied at the smallest compression."""
        own = self._last(rows, self.method)
        return own if self.other is None else (own - self._last(rows, self.other)).dropna()

    def _last(self, rows: pd.DataFrame, method: str) -> "pd.Series[float]":
        chosen = rows[(rows["model"] == self.model) & (rows["method"] == method)]
        last: dict[int, float] = {}
        for seed in sorted({int(seed) for seed in chosen["seed"]}):
            ordered = chosen[chosen["seed"] == seed].sort_values("sparsity")
            emptied = ordered["emptied_layers"].fillna("").astype(bool).cummax()
            whole = ordered["sparsity"].astype(float)[~emptied]
            last[seed] = -math.log10(1 - whole.max()) if len(whole) else 0.0
        return pd.Series(last, dtype=float)

    def read(self, value: float) -> float:
        """As it is."""
        return value
