"""A user's mistake: one line that says the rule, the value and the nearest fix; the command exits with 2."""

import re
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from trainables.line import printable

__all__ = ["Mistake", "nearest", "one_line", "printable", "short"]


class Mistake(ValueError):
    """Something the user can put right; printed as one line, without a traceback.

    What it quotes may come from a file of somebody else's: it cannot break the line or steer the terminal.
    """

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


def one_line(error: ValidationError, *, where: str = "", model: type[BaseModel] | None = None) -> str:
    """The first fault of a pydantic error in one line, with the nearest name for an unknown key.

    Args:
        where: what was read, e.g. a file name; put in front.
        model: whose fields unknown keys at the top are compared with.
    """
    first, *rest = error.errors(include_url=False)
    tags = ("constrained-", "function-", "literal[", "list[")  # pydantic's names for the ways of a union
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
        rule = "input should be a mapping" if first["type"] in ("model_type", "dict_type") else _plain(first["msg"])
        text = f"{place}: {rule}, but got {short(first['input'])}"
        if first["type"] == "list_type" and isinstance(first["input"], str | int | float):
            text += f": write [{first['input']}]"
    more = f" (and {len(rest)} more)" if rest else ""
    return " ".join(f"{where + ': ' if where else ''}{text}{more}".split())


def _plain(message: str) -> str:
    """A rule as pydantic says it, without what it says twice."""
    return re.sub(r", unable to parse .*| after validation, not \d+$", "", message[:1].lower() + message[1:])


def nearest(name: str, known: list[str]) -> str:
    """The end of an error line: the name that was probably meant, or all there are."""
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; there are: {', '.join(known)}" if known else ""


def _fields(model: type[BaseModel] | None, path: tuple[Any, ...]) -> list[str]:
    """Names of the fields of the model found by following a path of field names."""
    for part in path:
        field = model.model_fields.get(str(part)) if model else None
        annotation = field.annotation if field else None
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return list(model.model_fields) if model else []


def short(value: Any) -> str:
    """A value as it is quoted in an error line."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write out an integer of more than 4,300 digits
        return "a number of thousands of digits" if isinstance(value, int) else "something that holds a number too long"
    return text if len(text) <= 60 else text[:57] + "..."
