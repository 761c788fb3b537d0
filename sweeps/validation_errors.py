"""What pydantic finds wrong with a file of the user, as one line: the place, the rule, the value
and the nearest fix."""

import re
from typing import Any

from pydantic import BaseModel, ValidationError

from pruning.user_error import nearest, short


def one_line(
    error: ValidationError, *, where: str = "", model: type[BaseModel] | None = None
) -> str:
    """The first fault of a pydantic error in one line, with the nearest name for an unknown key.

    Args:
        where: what was read, e.g. a file name; put in front.
        model: whose fields unknown keys at the top are compared with.
    """
    first, *rest = error.errors(include_url=False)
    tags = (
        "constrained-",
        "function-",
        "literal[",
        "list[",
    )  # pydantic's names for the ways of a union
    place = ".".join(str(part) for part in first["loc"] if not str(part).startswith(tags))
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        text = f"unknown key '{place}'{nearest(key, _fields(model, first['loc'][:-1]))}"
    elif first["type"] in ("value_error", "assertion_error"):
        reason = str(first.get("ctx", {}).get("error", first["msg"]))
        text = f"{place}: {reason}" if place else reason
    elif first["type"] == "missing":
        text = f"{place}: field required"
    else:
        rule = (
            "input should be a mapping"
            if first["type"] in ("model_type", "dict_type")
            else _plain(first["msg"])
        )
        text = f"{place}: {rule}, but got {short(first['input'])}"
        if first["type"] == "list_type" and isinstance(first["input"], str | int | float):
            text += f": write [{first['input']}]"
    more = f" (and {len(rest)} more)" if rest else ""
    return " ".join(f"{where + ': ' if where else ''}{text}{more}".split())


def _plain(message: str) -> str:
    """A rule as pydantic says it, without what it says twice."""
    return re.sub(
        r", unable to parse .*| after validation, not \d+$", "", message[:1].lower() + message[1:]
    )


def _fields(model: type[BaseModel] | None, path: tuple[Any, ...]) -> list[str]:
    """Names of the fields of the model found by following a path of field names."""
    for part in path:
        field = model.model_fields.get(str(part)) if model else None
        annotation = field.annotation if field else None
        model = (
            annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel)
            else None
        )
    return list(model.model_fields) if model else []
