"""Where the processes of a study find modules: the project's packages by its folder alone, and the
user's in the folder where the command was given, after all others."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.user_modules import USER_PATH, list_user_folders

IMPORT_PATH = Path(__file__).resolve().parent / "import_path"  # with `sitecustomize.py`


def make_python_path() -> str:
    """PYTHONPATH for processes of this command: what the user has set, after the folder through
    which they find the project."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(dict.fromkeys([str(IMPORT_PATH), *(entry for entry in given if entry)]))


@contextmanager
def worker_variables() -> Iterator[dict[str, str]]:
    """Set, while this lasts, the environment variables by which workers find the modules of the
    project and of the user."""
    folders = os.pathsep.join(map(str, list_user_folders()))
    variables = {"PYTHONPATH": make_python_path(), USER_PATH: folders}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield variables
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
