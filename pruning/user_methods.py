"""Methods in files of the user's own: read, run and checked like those that come with the project.

Importing this does not import torch.
"""

import hashlib
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType

from pruning.method import Card, Method
from pruning.user_error import UserError


@dataclass(frozen=True)
class OwnMethod:
    """A method of the user's own. name: that of its file. path: where it was read, for people.
    source: its text."""

    name: str
    path: str
    source: bytes
    kind: type[Method]

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the file, in 64 hex digits."""
        return hashlib.sha256(self.source).hexdigest()


def find_files(place: str) -> Iterator[Path]:
    """The file itself, or the method files of a folder: those whose names do not begin with an
    underscore or a dot.

    Raises:
        UserError: there is no such file or folder, or none of its files is a method's.
    """
    try:
        path = Path(place).expanduser().resolve()
        found = sorted(path.glob("[!_.]*.py")) if path.is_dir() else [path]
        if not path.exists():
            raise UserError(f"no file or folder '{place}' with a method")
    except (
        OSError,
        RuntimeError,
        ValueError,
    ) as error:  # a loop of links, no such home, a zero byte
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"a method's file or folder must be a path, but '{place}': {error}"
        ) from None
    if not found:
        raise UserError(
            f"the folder '{place}' holds no method (a .py file whose name does not begin with _)"
        )
    yield from found


def read(path: Path) -> OwnMethod:
    """The method in a file, which is run for it.

    Raises:
        UserError: see `load`; or the file cannot be read, or its name cannot be a method's.
    """
    if (
        path.suffix != ".py"
        or not path.stem.isidentifier()
        or path.stem.startswith("_")
        or path.stem == "all"
    ):
        raise UserError(
            "the file of a method is named after it: letters, digits and _, then .py, and neither all.py nor _ at the "
            f"beginning, but got '{path.name}'"
        )
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the method in {path}: {error.strerror}") from None
    return load(path.stem, source, str(path))


def load(name: str, source: bytes, path: str) -> OwnMethod:
    """The method in the text of a file.

    Args:
        path: where the text is from, for messages and tracebacks.

    Raises:
        UserError: it cannot be run, or does not define exactly one Method, with a card.
    """
    module = ModuleType(f"own_methods.{name}")
    module.__file__ = path
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = (
        module  # where pydantic and dataclasses look up the names in annotations
    )
    try:
        exec(compile(source, path, "exec"), vars(module))
        kind = find_class(module, path)
        if not isinstance(getattr(kind, "card", None), Card):
            raise UserError(
                f"{path}: {kind.__name__} must tell what it is: card = Card(title=..., paper=..., ...)"
            )
    except (
        Exception,
        SystemExit,
    ) as error:  # the user's file may fail in any way, even by ending the program
        if before is None:
            del sys.modules[module.__name__]
        else:
            sys.modules[module.__name__] = before
        if isinstance(error, UserError):
            raise
        reason = (f"{type(error).__name__}: {error}".splitlines() or [""])[0]
        raise UserError(f"cannot import the method in {path} ({reason})") from error
    return OwnMethod(name, path, source, kind)


def find_class(module: ModuleType, path: str) -> type[Method]:
    """The one method class that a module defines.

    Raises:
        UserError: it defines none, or several.
    """
    own = [
        thing
        for _, thing in inspect.getmembers(module, inspect.isclass)
        if issubclass(thing, Method) and thing.__module__ == module.__name__
    ]
    if len(own) != 1:
        told = f"{len(own)} ({', '.join(thing.__name__ for thing in own)})" if own else "none"
        raise UserError(f"{path} must define exactly one Method, but defines {told}")
    return own[0]
