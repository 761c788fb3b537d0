"""The fields of a pydantic model as rows of a table: name, type, default, meaning."""

from __future__ import annotations

import inspect
import re
import types
import typing
from typing import Any, Literal, Union

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_ENTRY = re.compile(r"^(?P<names>[a-z_]+(?:, [a-z_]+)*): (?P<text>.+)$")


def read_meanings(model: type[BaseModel]) -> dict[str, str]:
    """What the docstrings of a class and its bases say of its fields, in entries such as `every:
    steps between two`.

    The lines of an entry that follow the first are indented; those of a class come before those of
    its bases.
    """
    meanings: dict[str, str] = {}
    for kind in model.__mro__:
        if not (issubclass(kind, BaseModel) and kind is not BaseModel):
            continue
        names: list[str] = []
        of_class: dict[str, str] = {}
        for line in inspect.cleandoc(kind.__doc__ or "").splitlines():
            entry = _ENTRY.match(line)
            if entry:
                names = entry["names"].split(", ")
                of_class |= dict.fromkeys(names, entry["text"])
            elif line.startswith("    ") and names:
                of_class |= {name: f"{of_class[name]} {line.strip()}" for name in names}
            else:
                names = []
        meanings = of_class | meanings
    return meanings


def list_fields(model: type[BaseModel]) -> list[tuple[str, str, str, str]]:
    """Name, type, default and meaning of every field, in the order of the class.

    The meaning is the field's description or what the docstrings say of it; empty where neither
    does.
    """
    meanings = read_meanings(model)
    return [
        (name, name_type(field), show_default(field), field.description or meanings.get(name, ""))
        for name, field in model.model_fields.items()
    ]


def name_type(field: FieldInfo) -> str:
    """The type of a field in a user's words, with its limits, e.g. `whole number, 1 ... 1000`."""
    limits = _name_limits(field.metadata)
    return _name(field.annotation) + (f", {limits}" if limits else "")


def _name(annotation: Any) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        limits = _name_limits(
            [
                part
                for entry in annotation.__metadata__
                for part in getattr(entry, "metadata", [entry])
            ]
        )
        return _name(inner[0]) + (f", {limits}" if limits else "")
    if origin is Literal:
        return ", ".join(f"`{_show(value)}`" for value in inner)
    if origin in (Union, types.UnionType):
        if {bool, int, float, str} <= set(inner):
            return "value"
        return " or ".join(_name(choice) for choice in inner if choice is not type(None))
    if origin in (list, tuple):
        return f"list of {_plural(inner[0])}"
    if origin is dict:
        return f"mapping to {_name(inner[1])}" if inner[1] is not Any else "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return link(annotation)
    return {str: "text", int: "whole number", float: "number", bool: "yes or no"}.get(
        annotation, "value"
    )


def title(model: type[BaseModel]) -> str:
    """What a page calls a part of a study file."""
    return model.__name__.removesuffix("Spec")


def link(model: type[BaseModel]) -> str:
    """A link to the part of the page that shows the model."""
    return f"[{title(model)}](#{title(model).lower()})"


def _plural(annotation: Any) -> str:
    first, comma, rest = _name(annotation).partition(", ")
    plurals = {
        "text": "texts",
        "whole number": "whole numbers",
        "number": "numbers",
        "value": "values",
    }
    return plurals.get(first, first) + comma + rest


def _name_limits(metadata: list[Any]) -> str:
    """The limits of a number, e.g. `1 ... 1000` or `above 0`; those of a text or a list are left
    out."""
    limits = {
        name: getattr(limit, name)
        for limit in metadata
        for name in ("ge", "gt", "le", "lt")
        if hasattr(limit, name)
    }
    if limits.get("le", 0) >= 2**60:
        del limits["le"]
    low = (
        f"{limits['ge']:g}"
        if "ge" in limits
        else f"above {limits['gt']:g}"
        if "gt" in limits
        else ""
    )
    high = (
        f"{limits['le']:,}"
        if "le" in limits
        else f"below {limits['lt']:g}"
        if "lt" in limits
        else ""
    )
    if "ge" in limits and "le" in limits:
        return f"{low} ... {high}"
    parts = [
        f"at least {low}" if "ge" in limits else low,
        f"at most {high}" if "le" in limits else high,
    ]
    return ", ".join(part for part in parts if part)


def show_default(field: FieldInfo) -> str:
    """The default as one would write it in YAML; `-` where there is none."""
    if field.is_required():
        return "-"
    default = field.get_default(call_default_factory=True)
    return f"see {link(type(default))}" if isinstance(default, BaseModel) else f"`{_show(default)}`"


def _show(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if value == "":
        return '""'
    if isinstance(value, float):
        return f"{value:g}"
    return f"[{', '.join(map(_show, value))}]" if isinstance(value, list | tuple) else str(value)


def make_table(rows: list[tuple[str, str, str, str]]) -> list[str]:
    """Fields as a Markdown table."""
    lines = ["| field | type | default | meaning |", "|---|---|---|---|"]
    return lines + [
        f"| `{name}` | {kind} | {default} | {_escape(meaning)} |"
        for name, kind, default, meaning in rows
    ]


def _escape(text: str) -> str:
    return text.removesuffix(".").replace("|", "\\|").replace("*", "\\*")
