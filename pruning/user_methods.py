"""Methods in the user's files: read, run and checked like those that come with the project.

Importing this does not import torch.
"""

import hashlib
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import get_args, get_type_hints

from pruning.method import Card, Method
from pruning.user_error import UserError


@dataclass(frozen=True)
class UserMethod:
    """A method from a file of the user's.

    name: that of its file.
    path: where it was read, for people.
    source: the text of the file.
    """

    name: str
    path: str
    source: bytes
    kind: type[Method]

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the file, in 64 hex digits."""
        return hashlib.sha256(self.source).hexdigest()


def list_method_files(place: str) -> Iterator[Path]:
    """The file itself, or the method files of a folder: those whose names do not begin with an
    underscore or a dot.

    Raises:
        UserError: there is no such file or folder, or the folder holds no method's file.
    """
    try:
        path = Path(place).expanduser().resolve()
        files = sorted(path.glob("[!_.]*.py")) if path.is_dir() else [path]
        exists = path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        # A loop of links, a home folder that does not exist, a zero byte.
        raise UserError(
            f"a method's file or folder must be a path, but '{place}': {error}"
        ) from None
    if not exists:
        raise UserError(f"no file or folder '{place}' with a method")
    if not files:
        raise UserError(
            f"the folder '{place}' holds no method (a .py file whose name does not begin with _)"
        )
    yield from files


def read_user_method(path: Path, name: str | None = None) -> UserMethod:
    """The method in a file, which is executed for it.

    Args:
        name: of the method; None: that of the file.

    Raises:
        UserError: see `load_user_method`; or the file cannot be read, or a method cannot have its
            name.
    """
    name = path.stem if name is None else name
    if path.suffix != ".py" or not name.isidentifier() or name.startswith("_") or name == "all":
        raise UserError(
            "the file of a method is named after it: letters, digits and _, then .py, "
            f"and neither all.py nor _ at the beginning, but got '{path.name}'"
        )
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the method in {path}: {error.strerror}") from None
    return load_user_method(name, source, str(path))


def load_user_method(name: str, source: bytes, path: str) -> UserMethod:
    """The method in the text of a file.

    Args:
        path: where the text is from, for messages and tracebacks.

    Raises:
        UserError: the text cannot be executed, or does not define exactly one Method, with a card.
    """
    module = ModuleType(f"user_methods.{name}")
    module.__file__ = path
    with _registered_unless_it_fails(module):
        try:
            exec(compile(source, path, "exec"), vars(module))
        except (Exception, SystemExit) as error:
            # The user's file may fail in any way, even by ending the program.
            reason = (f"{type(error).__name__}: {error}".splitlines() or [""])[0]
            raise UserError(f"cannot import the method in {path} ({reason})") from error
        kind = find_only_method(module, path)
        _check_class(kind, path)
    return UserMethod(name, path, source, kind)


def _check_class(kind: type[Method], path: str) -> None:
    """See that a method's class says what it is and what it does, before anything is trained for
    it.

    Raises:
        UserError: it has no card, one of an unknown kind, or nothing that prunes.
    """
    card = getattr(kind, "card", None)
    if not isinstance(card, Card):
        raise UserError(
            f"{path}: {kind.__name__} must tell what it is: card = Card(title=..., paper=..., ...)"
        )
    kinds = get_args(get_type_hints(Card)["kind"])
    if card.kind not in kinds:
        raise UserError(f"{path}: kind must be one of {', '.join(kinds)}, but got '{card.kind}'")
    if all(getattr(kind, name) is getattr(Method, name) for name in ("scores", "prune", "phases")):
        raise UserError(
            f"{path}: {kind.__name__} must say which weights to keep: define scores(self, inputs) "
            "or prune(self, inputs)"
        )


@contextmanager
def _registered_unless_it_fails(module: ModuleType) -> Iterator[None]:
    """Put a module where pydantic and dataclasses look up the names in annotations; take it out
    again if the block fails."""
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module
    try:
        yield
    except BaseException:
        if before is None:
            del sys.modules[module.__name__]
        else:
            sys.modules[module.__name__] = before
        raise


def find_only_method(module: ModuleType, path: str) -> type[Method]:
    """The one method class that a module defines.

    Raises:
        UserError: it defines none, or several.
    """
    defined = [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Method) and kind.__module__ == module.__name__
    ]
    if len(defined) != 1:
        names = ", ".join(kind.__name__ for kind in defined)
        count = f"{len(defined)} ({names})" if defined else "none"
        raise UserError(f"{path} must define exactly one Method, but defines {count}")
    return defined[0]
