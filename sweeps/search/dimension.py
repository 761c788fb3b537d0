"""One dimension of a search space: its values, how they are drawn, and when it applies. Pure
arithmetic."""

import random
from math import exp, log
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from pruning.user_error import short
from sweeps.study_file.strict_model import LARGEST, Strict
from trainables.training.recipe import Count
from trainables.trial_spec import Scalar

Configuration = dict[str, Scalar]
"""Values by dimension; a dimension whose condition is not met is absent."""


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
        if self.choices is not None:
            if len({repr(choice) for choice in self.choices}) < len(self.choices):
                raise ValueError(f"choices must differ, but got {short(self.choices)}")
            return self
        low, high = self.ends
        if not low < high:
            raise ValueError(f"{given[0]} must rise, but got {short([low, high])}")
        if self.log_range and low <= 0:
            raise ValueError(f"log_range must begin above 0, but got {low:g}")
        return self

    @property
    def ends(self) -> tuple[int | float, int | float]:
        """The smallest and the largest value of a range."""
        ends = self.range or self.log_range
        assert ends is not None, "a dimension of choices has no ends"
        return ends

    @property
    def whole(self) -> bool:
        """Whether it is a range of whole numbers."""
        return self.choices is None and all(isinstance(end, int) for end in self.ends)

    def draw(self, generator: random.Random) -> Scalar:
        """A value drawn at random: on the scale of the range, whole numbers each with its share of
        it."""
        if self.choices is not None:
            return self.choices[generator.randrange(len(self.choices))]
        return self.value_at(generator.random())

    def value_at(self, fraction: float) -> Scalar:
        """The value at a fraction 0 ... 1 of the range."""
        low, high = self.ends
        if not self.whole:
            value = _round(self._interpolate(low, high, fraction))
            return min(max(value, float(low)), float(high))
        # A whole number k has the room from k - 1/2 to k + 1/2, so that the ends are not rarer.
        value = self._interpolate(low - 0.5, high + 0.5, fraction)
        return int(min(max(round(value), low), high))

    def _interpolate(self, low: float, high: float, fraction: float) -> float:
        if self.log_range:
            return exp(log(low) + fraction * (log(high) - log(low)))
        return low + fraction * (high - low)

    def list_grid(self) -> list[Scalar]:
        """The values of a grid: the choices, or `points` of the range with both ends; equal ones
        once."""
        if self.choices is not None:
            return list(self.choices)
        last = self.points - 1
        fractions = [index / last for index in range(self.points)] if last else [0.5]
        return list(dict.fromkeys(self._grid_value(fraction) for fraction in fractions))

    def _grid_value(self, fraction: float) -> Scalar:
        low, high = self.ends
        value = self._interpolate(low, high, fraction)
        if self.whole:
            return round(value)
        if fraction in (0, 1):  # the ends as they are given, not rounded
            return float(high if fraction else low)
        return min(max(_round(value), float(low)), float(high))

    def applies(self, chosen: Configuration) -> bool:
        """Whether its condition is met by the values of earlier dimensions."""
        return all(
            name in chosen and chosen[name] in (wanted if isinstance(wanted, list) else [wanted])
            for name, wanted in self.when.items()
        )


def _round(value: float) -> float:
    """A value with four significant digits, as one would write it."""
    return float(f"{value:.4g}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
