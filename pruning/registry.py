"""Every method by name: the files of `pruning/methods/` are the registry. Importing this does not import torch."""

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path

from pruning import methods
from pruning.method import Method


class UnknownMethod(ValueError):
    """A name that no file in `pruning/methods/` has."""


def names() -> list[str]:
    """Names of all methods, sorted: one per file, without importing any."""
    files = (path for folder in methods.__path__ for path in Path(folder).glob("*.py"))
    return sorted(path.stem for path in files if not path.stem.startswith("_"))


@cache
def find(name: str) -> type[Method]:
    """The method class in `methods/<name>.py`.

    Raises:
        UnknownMethod: no such file; the message names the nearest one.
    """
    if name not in names():
        near = get_close_matches(name, names(), n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(names())}"
        raise UnknownMethod(f"no method '{name}'; {hint}")
    module = import_module(f"pruning.methods.{name}")
    own = [
        thing
        for _, thing in inspect.getmembers(module, inspect.isclass)
        if issubclass(thing, Method) and thing.__module__ == module.__name__
    ]
    if len(own) != 1:
        raise TypeError(f"pruning/methods/{name}.py must define exactly one Method, but defines {len(own)}")
    return own[0]


def build(name: str, knobs: Mapping[str, object]) -> Method:
    """A method with its knobs set.

    Raises:
        UnknownMethod: see `find`.
        pydantic.ValidationError: a knob that the method does not have, or a value it does not take.
    """
    return find(name).model_validate(dict(knobs))


def as_markdown() -> str:
    """All methods as a Markdown table, made of their cards: `python -m pruning.registry > docs/methods.md`."""
    rows = ["| method | kind | what it does | paper | cost | use it |", "|---|---|---|---|---|---|"]
    for name in names():
        card = find(name).card
        rows.append(f"| `{name}` | {card.kind} | {card.summary} | {card.paper} | {card.cost} | {card.when} |")
    return "\n".join(["# Methods", "", *rows, ""])


if __name__ == "__main__":
    print(as_markdown(), end="")
