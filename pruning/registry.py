"""Every method by name: the files of `pruning/methods/`, those that installed packages announce,
and the user's method files that this process has read.

Importing this does not import torch.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

from pruning import methods
from pruning.controls import Control
from pruning.entry_points import find_entry_point, find_module_file, list_entry_points
from pruning.method import Method
from pruning.user_error import UserError, nearest
from pruning.user_methods import (
    UserMethod,
    find_only_method,
    list_method_files,
    read_user_method,
)

_USER_METHODS: dict[str, UserMethod] = {}  # those that this process has read, by name


def list_methods() -> list[str]:
    """Names of all methods, sorted: one per file, without importing any."""
    return sorted({*_list_built_in(), *_USER_METHODS, *list_entry_points("methods")})


def _list_built_in() -> set[str]:
    files = (path for folder in methods.__path__ for path in Path(folder).glob("*.py"))
    return {path.stem for path in files if not path.stem.startswith("_")}


def find_method_class(name: str) -> type[Method]:
    """The method class in `methods/<name>.py`, in the user's file of that name, or in the module
    that an installed package announces by it; that one's file is read like a user's.

    Raises:
        UserError: no such file, where the message names the nearest one; or the file does not
            define exactly one Method; or one comes with the project and another with a package.
    """
    announced = find_entry_point("methods", name, built_in=name in _list_built_in())
    if announced and name not in _USER_METHODS:
        add_user_method(read_user_method(find_module_file("methods", name), name))
    return _USER_METHODS[name].kind if name in _USER_METHODS else _find_built_in(name)


@cache
def _find_built_in(name: str) -> type[Method]:
    if name not in _list_built_in():
        known = list_methods()
        raise UserError(f"no method '{name}'{nearest(name, known)}")
    return find_only_method(import_module(f"pruning.methods.{name}"), f"pruning/methods/{name}.py")


def build_method(name: str, knobs: Mapping[str, object]) -> Method:
    """A method with its knobs set; a control is given the method that it controls.

    Raises:
        UserError: see `find_method_class`; or a control cannot control what it shall.
        pydantic.ValidationError: a knob that the method does not have, or a value it does not take.
    """
    method = find_method_class(name).model_validate(dict(knobs))
    if isinstance(method, Control):
        method.receive(_find_controlled(name, method)())
    return method


def _find_controlled(name: str, control: Control) -> type[Method]:
    """The class of the method that a control controls."""
    try:
        kind = find_method_class(control.of)
    except UserError as error:
        raise UserError(f"method '{name}': {error}") from None
    if reason := control.find_misfit(kind):
        fitting = ", ".join(
            other
            for other in list_methods()
            if control.find_misfit(find_method_class(other)) is None
        )
        raise UserError(
            f"method '{name}': of must be a method this can control, but '{control.of}' {reason}; "
            f"there are: {fitting}"
        )
    return kind


def add_user_files(*places: str) -> list[str]:
    """Add the methods in the user's files, or in all files of a folder; returns their names.

    As with any import, a process reads a file once: what runs is what was read first, even if the
    file changes.

    Raises:
        UserError: no such file, one that holds no method, or a name that is taken.
    """
    paths: dict[str, Path] = {}
    for path in (path for place in places for path in list_method_files(place)):
        if path.stem in _list_built_in():
            raise UserError(
                f"a method '{path.stem}' comes with the project; give {path} another name"
            )
        if paths.setdefault(path.stem, path) != path:
            raise UserError(
                f"{paths[path.stem]} and {path} are both method '{path.stem}'; rename one"
            )
        if path.stem not in _USER_METHODS or _USER_METHODS[path.stem].path != str(path):
            add_user_method(read_user_method(path))
    return list(paths)


def add_user_method(method: UserMethod) -> None:
    """Add one of the user's methods, in place of an earlier one of its name."""
    _USER_METHODS[method.name] = method


def find_user_method(name: str) -> UserMethod | None:
    """The user's method of that name; None where there is none or it comes with the project."""
    return _USER_METHODS.get(name)


def digest_user_files(name: str, knobs: Mapping[str, object]) -> dict[str, str]:
    """SHA-256, by method name, of the user's files that a trial of this method runs: its own file,
    and that of a method that it controls.

    Raises:
        UserError, pydantic.ValidationError: see `build_method`.
    """
    if not _USER_METHODS:
        return {}
    used = (name, *build_method(name, knobs).runs)
    return {method: _USER_METHODS[method].digest for method in used if method in _USER_METHODS}


_INTRODUCTION = """\
A study file names a method as in the first column. `python sweeps/full_study.py --list-methods`
prints the same with the knobs (parameters) of each and their defaults. In the built site (`make
docs`) each method has a page: its score, its knobs, and what it reached in the studies that were
run with it."""


def as_markdown() -> str:
    """All methods as a Markdown table, made of their cards: `python -m pruning.registry >
    docs/methods.md`."""
    titles = ("method", "kind", "what it does", "paper", "cost", "when to use it")
    rows = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for name in list_methods():
        card = find_method_class(name).card
        cells = (f"`{name}`", card.kind, card.summary, card.paper, card.cost, card.when)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(["# Methods", "", _INTRODUCTION, "", *rows, ""])


if __name__ == "__main__":
    print(as_markdown(), end="")
