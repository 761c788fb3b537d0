"""What pydantic finds wrong with a file of the user, as one line: the place, the rule, the value
and the nearest fix."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from pruning.user_error import find_nearest, nearest, short

Fault = Mapping[str, Any]
"""One of the errors that pydantic lists."""

# Pydantic's names for the members of a union: no part of the place of a fault.
_MEMBER = re.compile(r"(constrained-|function-|literal\[|list\[|given-)|(int|float|str|bool)$")
# Rules by pydantic's names for them, with what it says of their limits.
_RULES = {
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "string_type": "must be a text",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
}


_ORDER = {"invalid_key": 0, "missing": 2}


def describe_validation_error(
    error: ValidationError, *, where: str = "", model: type[BaseModel] | None = None
) -> str:
    """The first fault of a pydantic error in one line, with the nearest name for an unknown key.
    Unknown keys come before missing ones, which they often are, misspelt.

    Args:
        where: what was read, e.g. a file name; put in front.
        model: whose fields unknown keys are compared with.
    """
    faults = sorted(
        error.errors(include_url=False),
        key=lambda fault: _ORDER.get(fault["type"], 1),
    )
    first = faults[0]
    field, meant = _field(first), ""
    if first["type"] == "extra_forbidden":
        meant, hint = _find_meant(first, model)
        text = f"unknown key '{field}'{hint}"
    elif first["type"] in ("value_error", "assertion_error"):
        reason = str(first.get("ctx", {}).get("error", first["msg"]))
        text = f"{field}: {reason}" if field else reason
    elif first["type"] == "invalid_key":
        place = field.rpartition(".")[0]
        text = (
            f"{place + ': ' if place else ''}a key must be a word, but got "
            f"{short(first['input'])}: a comma ends a value, decimals have a point"
        )
    elif first["type"] == "missing":
        text = f"{field} is missing"
    else:
        rules = [_rule(fault) for fault in faults if _is_alternative(fault, first)]
        rule = " or ".join(dict.fromkeys(rules)).replace(" or must be", " or")
        got = "nothing" if first["input"] is None else short(first["input"])
        text = f"{field}: {rule}, but got {got}{_fix(first)}"
    told = {_identity(first), ("missing", meant, "")}
    more = len({_identity(fault) for fault in faults if not _is_alternative(fault, first)} - told)
    return " ".join(
        f"{where + ': ' if where else ''}{text}{f' (and {more} more)' * (more > 0)}".split()
    )


def find_field(model: type[BaseModel], name: str) -> str | None:
    """The path of the field of that name: one of the model itself, or of a model that is a field of
    it, as `recipe.epochs`; None where there is none."""
    if name in model.model_fields:
        return name
    for outer, field in model.model_fields.items():
        if get_origin(field.annotation) is not list and name in _field_names(model, (outer,)):
            return f"{outer}.{name}"
    return None


def _field(fault: Fault) -> str:
    """The path of the field with a fault."""
    return ".".join(str(part) for part in fault["loc"] if not _MEMBER.match(str(part)))


def _identity(fault: Fault) -> tuple[str, str, str]:
    """What makes a fault another one: a value that is inherited is wrong in many places."""
    leaf = _field(fault).rpartition(".")[2]
    if fault["type"] == "missing":
        return ("missing", leaf, "")
    if fault["type"] == "value_error":
        return ("wrong", "", str(fault["msg"]))
    return ("wrong", leaf, short(fault["input"]))


def _is_alternative(fault: Fault, first: Fault) -> bool:
    """Whether a fault says what else the value of the first one may be: a union has one for each of
    its members."""
    return fault["type"] in _RULES and (_field(fault), fault["input"]) == (
        _field(first),
        first["input"],
    )


def _rule(fault: Fault) -> str:
    """The rule that a value breaks, in plain words."""
    if rule := _RULES.get(fault["type"]):
        limits = {name: _plain(value) for name, value in fault.get("ctx", {}).items()}
        filled = rule.format_map(limits)
        return re.sub(r" 1 (entr|character)\w+$", lambda found: f" 1 {_SINGULAR[found[1]]}", filled)
    message = str(fault["msg"])
    return re.sub(r"^input should be", "must be", message[:1].lower() + message[1:])


def _plain(limit: Any) -> Any:
    """A limit as a user writes it: 0, not 0.0."""
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


_SINGULAR = {"entr": "entry", "character": "character"}


def _fix(fault: Fault) -> str:
    """The end of the line: how the value is written, where that can be told from it."""
    kind, value = fault["type"], fault["input"]
    if kind in ("list_type", "tuple_type") and isinstance(value, str | int | float):
        return "" if re.search(r"[][(){}]", str(value)) else f": write [{value}]"
    if kind == "string_type" and isinstance(value, int | float):
        return f": write '{value}', in quotes"
    if kind == "float_parsing" and (found := re.fullmatch(r"\s*([\d.]+)\s*%\s*", str(value))):
        return f": write {float(found[1]) / 100:g}" if found[1].count(".") < 2 else ""
    if kind == "float_parsing" and re.fullmatch(r"-?\d+,\d+", str(value)):
        return f": write {value.replace(',', '.')}"
    return ""


def _find_meant(fault: Fault, model: type[BaseModel] | None) -> tuple[str, str]:
    """The field that an unknown key probably stands for, "" where none is near; and the end of the
    error line."""
    *parents, key = (str(part) for part in fault["loc"])
    if ":" in key:
        name, _, value = key.partition(":")
        return name, f"; a space must follow the colon: '{name}: {value.strip()}'"
    known = _field_names(model, parents)
    elsewhere = find_field(model, key) if model else None
    if elsewhere:
        return elsewhere.rpartition(".")[2], f"; did you mean '{elsewhere}'?"
    return find_nearest(key, known) or "", nearest(key, known)


def _field_names(model: type[BaseModel] | None, path: Sequence[Any]) -> list[str]:
    """Names of the fields of the model found by following a path of field names; the places in a
    list are no part of it."""
    for part in path:
        if str(part).isdigit():
            continue
        field = model.model_fields.get(str(part)) if model else None
        model = next(_models_in(field.annotation), None) if field else None
    return list(model.model_fields) if model else []


def _models_in(annotation: Any) -> Any:
    """The models of an annotation: itself, or those in its arguments, e.g. of a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
