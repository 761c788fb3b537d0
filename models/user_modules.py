"""Modules of the user: how they are imported, which files they consist of, and the digest of these.

They lie on Python's path, in the folder where the command was given (`PRUNING_USER_PATH` names it
in the workers), or are installed. That folder is searched last and only once a module of the user
is asked for, so that no file in it, such as `random.py`, takes the place of a module of Python or
of a library. A folder of it with the name of one of the project's packages, as `models/` often is,
is found from the user's modules all the same. Importing this does not import torch.
"""

import ast
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

PROJECT = Path(__file__).resolve().parent.parent
PROJECT_PACKAGES = ("analysis", "models", "pruning", "sweeps", "trainables")
USER_PATH = "PRUNING_USER_PATH"
_INSTALLED = tuple(
    Path(path).resolve()
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
    if (path := sysconfig.get_path(name))
)
# By folder: modules of the user that have the names of modules of the project.
_aside: dict[Path, dict[str, ModuleType]] = {}


def list_user_folders() -> list[Path]:
    """Where modules of the user lie beside Python's path, without the project's own folder."""
    named = os.environ.get(USER_PATH)
    try:
        folders = named.split(os.pathsep) if named else [os.getcwd()]
    except OSError:  # the working directory was deleted
        return []
    resolved = [Path(folder).resolve() for folder in folders if folder]
    return [folder for folder in resolved if folder != PROJECT]


def import_user_module(path: str) -> ModuleType:
    """Import a module by its dotted path; whatever it raises is passed on."""
    with user_imports(path):
        return import_module(path)


@contextmanager
def user_imports(path: str) -> Iterator[None]:
    """Where a module of the user is imported, or its functions import what they need: the user's
    folders are on Python's path, at its end, and stay there; and while this lasts, packages beside
    the module stand in the place of the project's of the same names."""
    file = find_module_file(path)
    for folder in map(str, (*list_user_folders(), PROJECT)):
        if folder not in sys.path:
            sys.path.append(folder)
    top = None if file is None or _is_foreign(file) else _find_top(path, file)
    with nullcontext() if top in (None, PROJECT) else _project_packages_give_way(top):
        yield


def find_module_file(path: str) -> Path | None:
    """The file of a module of the user by its dotted path, without importing it; None where it is
    no `.py` file on the path.

    A name within a package of the project means the user's module, where both have it.
    """
    folders = list_user_folders()
    mine = path.partition(".")[0] in PROJECT_PACKAGES
    path_of_python = [Path(entry) for entry in sys.path]
    for folder in [*folders, *path_of_python] if mine else [*path_of_python, *folders, PROJECT]:
        if file := _find_below(folder, path):
            return file
    return None


def digest_user_module(path: str) -> str:
    """The SHA-256 of a module's file together with those of the user's own files that it imports,
    in 64 hex digits: another one where any of them has changed.

    Followed are the import statements of `.py` files below the folder in which the module's package
    lies. "" for a module without such a file, and for one that is installed, or the project's.
    """
    file = find_module_file(path)
    if file is None or _is_foreign(file):
        return ""
    top = _find_top(path, file)
    digests = {
        name: hashlib.sha256(content).hexdigest() for name, content in _follow(top, path).items()
    }
    if list(digests) == [path]:
        return digests[path]
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _find_below(folder: Path, path: str) -> Path | None:
    place = folder.joinpath(*path.split("."))
    for file in (place / "__init__.py", place.with_suffix(".py")):
        if file.is_file():
            return file.resolve()
    return None


def _find_top(path: str, file: Path) -> Path:
    """The folder from which a module with that dotted path is imported."""
    depth = path.count(".") + (file.name == "__init__.py")
    return file.parents[depth]


def _is_foreign(file: Path) -> bool:
    """Whether a file is Python's, installed, or of the project's packages."""
    if any(file.is_relative_to(folder) for folder in _INSTALLED):
        return True
    return any(file.is_relative_to(PROJECT / package) for package in PROJECT_PACKAGES)


def _follow(top: Path, path: str) -> dict[str, bytes]:
    """The content of a module and of all below the folder that it imports, by dotted path."""
    found: dict[str, bytes] = {}
    waiting = [path]
    while waiting:
        name = waiting.pop()
        file = _find_below(top, name)
        if name in found or file is None or _is_foreign(file):
            continue
        found[name] = file.read_bytes()
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        waiting += _list_imports(found[name], package)
        parts = name.split(".")
        waiting += [".".join(parts[:count]) for count in range(1, len(parts))]
    return found


def _list_imports(source: bytes, package: str) -> list[str]:
    """Dotted paths that a file may import; what is imported from a module may be one, too."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []  # the import itself will say so
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if package else []
            start = parts[: len(parts) + 1 - node.level] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            names += [base] if base else []
            names += [f"{base}.{alias.name}" if base else alias.name for alias in node.names]
    return names


class _FolderFinder:
    """Finds the packages with these names in a folder, whatever else has their names."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self.names = str(folder), names

    def find_spec(
        self, name: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's spec, as Python's import system asks for it."""
        return PathFinder.find_spec(name, [self.folder]) if name in self.names else None


@contextmanager
def _project_packages_give_way(folder: Path) -> Iterator[None]:
    """While this lasts, packages of a folder stand in the place of the project's of the same names;
    afterwards the project's are back.

    What only the folder has stays importable under its name, and while this lasts, so does what
    only the project has and was imported before.
    """
    clashing = [name for name in PROJECT_PACKAGES if _holds(folder, name)]
    hidden = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] in clashing
        and _holds(folder, name)
        and str(getattr(module, "__file__", "")).startswith(f"{PROJECT / name.partition('.')[0]}")
    }
    for name in hidden:
        del sys.modules[name]
    sys.modules.update(_aside.get(folder, {}))
    finder = _FolderFinder(folder, clashing)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        theirs = {name: sys.modules[name] for name in hidden if name in sys.modules}
        _aside[folder] = {**_aside.get(folder, {}), **theirs}
        sys.modules.update(hidden)


def _holds(folder: Path, name: str) -> bool:
    """Whether a folder holds a module or a package, also one without `__init__.py`."""
    place = folder.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or place.is_dir()
