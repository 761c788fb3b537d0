"""What a search may choose: dimensions with their values and conditions, and how points are drawn.
Pure arithmetic."""

import random
from collections.abc import Iterator
from itertools import product
from math import exp, log
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from pruning.user_error import nearest, short
from sweeps.study_file.method_entry import LARGEST, Strict
from trainables.training.recipe import Count
from trainables.trial_spec import Scalar

Configuration = dict[str, Scalar]
"""Values by dimension; a dimension whose condition is not met is absent."""

MOST = 100_000  # points of a grid


class Dimension(Strict):
    """One thing to choose: from a list, or from a range, evenly or evenly on a log scale; ends
    belong to the range.

    A range between two whole numbers holds whole numbers. Where `when` is not met, a dimension
    keeps its value of the search file.
    """

    choices: list[Scalar] | None = Field(default=None, min_length=1, description="a list of values")
    range: tuple[int | float, int | float] | None = Field(
        default=None, description="its two ends; even"
    )
    log_range: tuple[int | float, int | float] | None = Field(
        default=None, description="even on a log scale"
    )
    points: Count = Field(default=7, ge=1, le=1000, description="of a range in a grid")
    when: dict[str, Scalar | list[Scalar]] = Field(
        default={}, description="earlier dimensions with their values"
    )

    @field_validator("range", "log_range", mode="before")
    @classmethod
    def _ends(cls, raw: Any) -> Any:
        if raw is None:
            return raw
        if not isinstance(raw, list | tuple) or len(raw) != 2:
            raise ValueError(f"a range is a list of two numbers, but got {short(raw)}")
        ends = [float(end) if isinstance(end, str) and _is_number(end) else end for end in raw]
        for end in ends:
            if isinstance(end, bool) or not isinstance(end, int | float) or abs(end) > LARGEST:
                raise ValueError(
                    f"the ends of a range must be numbers within 64 bits, but got {short(end)}"
                )
        return ends

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [
            name for name in ("choices", "range", "log_range") if getattr(self, name) is not None
        ]
        if len(given) != 1:
            raise ValueError(
                f"give one of choices, range and log_range, but got {' and '.join(given) or 'none'}"
            )
        if self.choices is not None and len({repr(choice) for choice in self.choices}) < len(
            self.choices
        ):
            raise ValueError(f"choices must differ, but got {short(self.choices)}")
        if self.choices is None:
            low, high = self.ends
            if not low < high:
                raise ValueError(f"{given[0]} must rise, but got {short([low, high])}")
            if self.log_range and low <= 0:
                raise ValueError(f"log_range must begin above 0, but got {low:g}")
        return self

    @property
    def ends(self) -> tuple[int | float, int | float]:
        """The smallest and the largest value of a range."""
        found = self.range or self.log_range
        assert found is not None, "a dimension of choices has no ends"
        return found

    @property
    def whole(self) -> bool:
        """Whether it is a range of whole numbers."""
        return self.choices is None and all(isinstance(end, int) for end in self.ends)

    def draw(self, generator: random.Random) -> Scalar:
        """A value drawn at random: on the scale of the range, whole numbers each with its share of
        it."""
        if self.choices is not None:
            return self.choices[generator.randrange(len(self.choices))]
        return self.at(generator.random())

    def at(self, part: float) -> Scalar:
        """The value at a fraction 0 ... 1 of the range."""
        low, high = self.ends
        if (
            self.whole
        ):  # a whole number k has the room from k - 1/2 to k + 1/2, so that the ends are not rarer
            low, high = low - 0.5, high + 0.5
        value = (
            exp(log(low) + part * (log(high) - log(low)))
            if self.log_range
            else low + part * (high - low)
        )
        if not self.whole:
            return min(max(_round(value), float(low)), float(high))
        first, last = self.ends
        return int(min(max(round(value), first), last))

    def spread(self) -> list[Scalar]:
        """The values of a grid: the choices, or `points` of the range with both ends; equal ones
        once."""
        if self.choices is not None:
            return list(self.choices)
        low, high = self.ends
        last = self.points - 1
        values: dict[Scalar, None] = {}
        for index in range(self.points):
            part = index / last if last else 0.5
            value = (
                exp(log(low) + part * (log(high) - log(low)))
                if self.log_range
                else low + part * (high - low)
            )
            rounded = (
                float(low)
                if last and not index
                else float(high)
                if last and index == last
                else _round(value)
            )
            values[round(value) if self.whole else min(max(rounded, float(low)), float(high))] = (
                None
            )
        return list(values)

    def applies(self, chosen: Configuration) -> bool:
        """Whether its condition is met by what earlier dimensions have."""
        return all(
            name in chosen and chosen[name] in (wanted if isinstance(wanted, list) else [wanted])
            for name, wanted in self.when.items()
        )


def check_conditions(space: dict[str, Dimension]) -> None:
    """Pass if every condition names earlier dimensions and values that they can have.

    Raises:
        ValueError: one does not; the message names it.
    """
    earlier: list[str] = []
    for name, dimension in space.items():
        for other, wanted in dimension.when.items():
            if other not in earlier:
                raise ValueError(
                    f"{name}: when must name an earlier dimension, but got '{other}'{nearest(other, earlier)}"
                )
            choices = space[other].choices
            for value in wanted if isinstance(wanted, list) else [wanted]:
                if choices is not None and value not in choices:
                    raise ValueError(
                        f"{name}: {other} is never {short(value)}; it is one of {short(choices)}"
                    )
        earlier.append(name)


def draw(space: dict[str, Dimension], generator: random.Random) -> Configuration:
    """A point drawn at random. Every dimension draws, whether its condition is met or not, so that
    the others do not depend on it."""
    chosen: Configuration = {}
    for name, dimension in space.items():
        value = dimension.draw(generator)
        if dimension.applies(chosen):
            chosen[name] = value
    return chosen


def spread(space: dict[str, Dimension]) -> Iterator[Configuration]:
    """The points of the grid, each once, the last dimension fastest."""
    seen = set()
    for values in product(*(dimension.spread() for dimension in space.values())):
        chosen: Configuration = {}
        for (name, dimension), value in zip(space.items(), values, strict=True):
            if dimension.applies(chosen):
                chosen[name] = value
        point = tuple(chosen.items())
        if point not in seen:
            seen.add(point)
            yield chosen


def count(space: dict[str, Dimension]) -> int:
    """Points of the grid, those that conditions make equal counted each."""
    total = 1
    for dimension in space.values():
        total *= len(dimension.spread())
    return total


def tell(configuration: Configuration) -> str:
    """A point in one short text: `iterations=23, schedule=linear`."""
    return ", ".join(
        f"{name}={f'{v:g}' if isinstance(v, float) else v}" for name, v in configuration.items()
    )


def _round(value: float) -> float:
    """A value as one would write it: with four digits that count."""
    return float(f"{value:.4g}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
