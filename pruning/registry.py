"""Every method by name: the files of `pruning/methods/`, and those of the user's own that were
learnt.

Importing this does not import torch.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path

from pruning import methods
from pruning.method import Method
from pruning.user_error import UserError
from pruning.user_methods import OwnMethod, find_class, find_files, read

__all__ = ["UserError", "add", "build", "find", "learn", "names", "own", "sources"]

_OWN: dict[str, OwnMethod] = {}  # learnt by this process, by name


def names() -> list[str]:
    """Names of all methods, sorted: one per file, without importing any."""
    return sorted({*_built_in(), *_OWN})


def _built_in() -> set[str]:
    files = (path for folder in methods.__path__ for path in Path(folder).glob("*.py"))
    return {path.stem for path in files if not path.stem.startswith("_")}


def find(name: str) -> type[Method]:
    """The method class in `methods/<name>.py`, or in the user's own file of that name.

    Raises:
        UserError: no such file; the message names the nearest one.
        UserError: the file does not define exactly one Method.
    """
    return _OWN[name].kind if name in _OWN else _find_built_in(name)


@cache
def _find_built_in(name: str) -> type[Method]:
    if name not in _built_in():
        near = get_close_matches(name, names(), n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(names())}"
        raise UserError(f"no method '{name}'; {hint}")
    return find_class(import_module(f"pruning.methods.{name}"), f"pruning/methods/{name}.py")


def learn(*places: str) -> list[str]:
    """Take in the methods in files of the user's own, or in all files of a folder; their names.

    As with any import, a file is read once by a process: what runs is what was read first, however
    it changes.

    Raises:
        UserError: no such file, one that is no method's, or a name that is taken.
    """
    found: dict[str, Path] = {}
    for path in (path for place in places for path in find_files(place)):
        if path.stem in _built_in():
            raise UserError(
                f"a method '{path.stem}' comes with the project; give {path} another name"
            )
        if found.setdefault(path.stem, path) != path:
            raise UserError(
                f"{found[path.stem]} and {path} are both method '{path.stem}'; rename one"
            )
        if path.stem not in _OWN or _OWN[path.stem].path != str(path):
            add(read(path))
    return list(found)


def add(method: OwnMethod) -> None:
    """Take in one method of the user's own, in place of an earlier one of its name."""
    _OWN[method.name] = method


def own(name: str) -> OwnMethod | None:
    """The user's own method of that name; None where there is none or it comes with the project."""
    return _OWN.get(name)


def sources(name: str, knobs: Mapping[str, object]) -> dict[str, str]:
    """SHA-256 of the files of the user's own that a method with these knobs runs, by name: its own,
    that it controls.

    Raises:
        UserError, pydantic.ValidationError: see `build`.
    """
    if not _OWN:
        return {}
    from pruning.controls import Control

    method = build(name, knobs)
    used = (name, method.of) if isinstance(method, Control) else (name,)
    return {one: _OWN[one].digest for one in used if one in _OWN}


def build(name: str, knobs: Mapping[str, object]) -> Method:
    """A method with its knobs set.

    Raises:
        UserError: see `find`.
        pydantic.ValidationError: a knob that the method does not have, or a value it does not take.
    """
    return find(name).model_validate(dict(knobs))


def as_markdown() -> str:
    """All methods as a Markdown table, made of their cards: `python -m pruning.registry >
    docs/methods.md`."""
    rows = ["| method | kind | what it does | paper | cost | use it |", "|---|---|---|---|---|---|"]
    for name in names():
        card = find(name).card
        rows.append(
            f"| `{name}` | {card.kind} | {card.summary} | {card.paper} | {card.cost} | {card.when} |"
        )
    return "\n".join(["# Methods", "", *rows, ""])


if __name__ == "__main__":
    print(as_markdown(), end="")
