"""One method of a study file, with the values of its knobs. Imports neither torch nor Ray."""

from itertools import product
from math import isfinite, prod
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from pruning import registry
from pruning.user_error import nearest, short
from pruning.validation_errors import describe_validation_error
from sweeps.study_file.strict_model import LARGEST, Strict
from trainables.trial_spec import Scalar

CHOICES = 1000  # combinations of one method's knobs


def check_knobs(raw: Any, *, axes: bool) -> Any:
    """Pass if this is a mapping of names to values that can be stored; with `axes`, also to lists
    of such values.

    Raises:
        ValueError: it is not; the message names the knob.
    """
    if not isinstance(raw, dict):
        raise ValueError(f"knobs are a mapping of names to values, but got {short(raw)}")
    for name, given in raw.items():
        if not isinstance(name, str):
            raise ValueError(f"the name of a knob must be a word, but got {short(name)}")
        for value in given if axes and isinstance(given, list) else [given]:
            if not isinstance(value, Scalar):
                raise ValueError(
                    f"{name} must be a number, a word or yes or no, but got {short(value)}"
                )
            if isinstance(value, float) and not isfinite(value):
                raise ValueError(f"{name} must be finite, but got {value}")
            if isinstance(value, int) and abs(value) > LARGEST:
                raise ValueError(f"{name} must lie within 64 bits, but got {short(value)}")
    return raw


class MethodEntry(Strict):
    """One method with its knobs; a list as a knob's value is an axis of the grid."""

    name: str = Field(
        description="one of --list-methods, or all: those that are not named and need not be"
    )
    knobs: dict[str, Scalar | list[Scalar]] = Field(
        default={}, description="a list of values is an axis of the grid"
    )

    @field_validator("knobs", mode="plain")
    @classmethod
    def _values(cls, raw: Any) -> Any:
        return check_knobs(raw, axes=True)

    @model_validator(mode="after")
    def _known(self) -> Self:
        method = registry.find_method_class(self.name)
        for knob in self.knobs:
            if knob not in method.model_fields:
                known = list(method.model_fields)
                hint = nearest(knob, known) if known else "; it has none"
                raise ValueError(f"method '{self.name}' has no knob '{knob}'{hint}")
            if self.knobs[knob] == []:
                raise ValueError(
                    f"method '{self.name}': {knob} must have at least 1 value, but got []"
                )
        if prod(len(value) for value in self.knobs.values() if isinstance(value, list)) > CHOICES:
            raise ValueError(
                f"method '{self.name}' must have at most {CHOICES:,} combinations of its knobs"
            )
        for choice in self.choices():
            try:
                registry.build_method(self.name, choice)
            except ValidationError as error:
                raise ValueError(
                    describe_validation_error(error, where=f"method '{self.name}'")
                ) from None
        return self

    def choices(self) -> list[dict[str, Scalar]]:
        """Every combination of the knobs' values, leaving out those that are the default."""
        method = registry.find_method_class(self.name)
        axes = [value if isinstance(value, list) else [value] for value in self.knobs.values()]
        chosen: dict[tuple[tuple[str, Scalar], ...], None] = {}
        for values in product(*axes):
            knobs = zip(self.knobs, values, strict=True)
            chosen[
                tuple(
                    (name, value)
                    for name, value in knobs
                    if value != method.model_fields[name].default
                )
            ] = None
        return [dict(knobs) for knobs in chosen]
