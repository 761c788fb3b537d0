"""`method_path`: the user's method files that a study file or a search file names."""

from typing import Annotated, Any

from pydantic import BeforeValidator

from pruning import registry
from pruning.user_error import UserError, short


def list_paths(raw: Any) -> list[str]:
    """The paths that the field names: none, one, or a list of them.

    Raises:
        ValueError: it is neither a path nor a list of paths.
    """
    paths = [] if raw is None else [raw] if isinstance(raw, str) else raw
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise ValueError(f"it is a path or a list of paths, but got {short(raw)}")
    return paths


MethodPath = Annotated[list[str], BeforeValidator(list_paths)]
"""Files of the user's methods, or folders of such files; as a field of a model it is only read."""


def register_user_methods(raw: Any, *, where: str = "") -> None:
    """Register the user's methods, before a model that names methods is validated: importing the
    files executes them, which no validation should do.

    Args:
        raw: the field `method_path` as it stands in the file.
        where: what was read, e.g. a file name; put in front of an error.

    Raises:
        UserError: it names no paths, or a file that holds no method.
    """
    try:
        registry.add_user_files(*list_paths(raw))
    except ValueError as error:
        raise UserError(f"{where + ': ' if where else ''}method_path: {error}") from None
