"""The version of the project. Imports neither torch nor Ray."""

import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

NAME = "pruning-studies"


@cache
def version() -> str:
    """The version as in `pyproject.toml`: from there in a checkout, which may run uninstalled, else
    as installed."""
    path = Path(__file__).resolve().parent.parent / "pyproject.toml"
    try:
        return str(tomllib.loads(path.read_text())["project"]["version"])
    except (OSError, ValueError, KeyError):
        pass
    try:
        return installed(NAME)
    except PackageNotFoundError:
        return "unknown"
