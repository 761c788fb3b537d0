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


def list_entries(raw: Any) -> list[Any]:
    """The entries of `methods` as mappings with a name: from names, mappings of names to knobs, and
    lists of both.

    Raises:
        ValueError: it is something else, or a mapping whose indentation says another thing than
            its keys.
    """
    listed = [raw] if isinstance(raw, str) else raw
    if isinstance(listed, dict) and "name" not in listed:
        listed = [{name: knobs} for name, knobs in listed.items()]
    if not isinstance(listed, list):
        raise ValueError(
            f"methods is a list of names or a mapping of names to knobs, but got {short(raw)}"
        )
    entries: list[Any] = []
    for item in listed:
        if isinstance(item, str):
            _check_one_name(item)
            entries.append({"name": item})
        elif isinstance(item, dict) and "name" not in item:
            _check_indentation(item)
            entries += [_entry_with_knobs(name, knobs) for name, knobs in item.items()]
        else:
            entries.append(item)
    return entries


def _check_one_name(text: str) -> None:
    if text.startswith("-"):
        raise ValueError(f"a space must follow the dash before a method, but got {short(text)}")
    if "," in text:
        raise ValueError(f"must be a list: write [{text}], but got {short(text)}")


def _check_indentation(item: dict[Any, Any]) -> None:
    """Refuse a knob that stands beside its method."""
    names = [name for name in item if isinstance(name, str)]
    known = registry.list_methods()
    for method, knob in ((a, b) for a in names for b in names if a in known and b not in known):
        if item[method] is None and knob in registry.find_method_class(method).model_fields:
            raise ValueError(
                f"'{knob}' is a knob of '{method}': indent it further than the method, or write "
                f"{method}: {{{knob}: {item[knob]}}}"
            )


def _entry_with_knobs(name: Any, knobs: Any) -> dict[str, Any]:
    if knobs and name == "all":
        raise ValueError("'all' has no knobs: name the method that shall have them beside it")
    if knobs and not isinstance(knobs, dict):
        raise ValueError(
            f"method '{name}': knobs are a mapping of names to values, but got {short(knobs)}"
        )
    return {"name": name, "knobs": knobs or {}}


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
