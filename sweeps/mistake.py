"""A user's mistake: one line that says the rule, the value and the nearest fix; the command exits with 2."""

from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

LONGEST = 1000  # characters of a line; a list of all methods takes 400


class Mistake(ValueError):
    """Something the user can put right; printed as one line, without a traceback.

    What it quotes may come from a file of somebody else's: it cannot break the line or steer the terminal.
    """

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


def printable(text: str) -> str:
    """One line that is safe to print: control and direction characters as their escapes, the middle of a long text
    left out."""
    line = " ".join(text.split())
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 3 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


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
        rule = "input should be a mapping" if first["type"] in ("model_type", "dict_type") else first["msg"].lower()
        text = f"{place}: {rule}, but got {short(first['input'])}"
    more = f" (and {len(rest)} more)" if rest else ""
    return " ".join(f"{where + ': ' if where else ''}{text}{more}".split())


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
