"""Methods, networks and data sets of other packages, which announce them by entry points:

    [project.entry-points."pruning_studies.methods"]
    my_method = "my_package.my_method"            # a module with one Method

    [project.entry-points."pruning_studies.networks"]
    my_network = "my_package.networks:tiny"       # a function (image, classes) -> nn.Module

    [project.entry-points."pruning_studies.datasets"]
    my_images = "my_package.images:find_folder"   # a function () -> folder with the images

Imports nothing but the standard library and the error of a user; the packages themselves are
imported only where something of theirs is used.
"""

from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pruning.user_error import UserError

Kind = Literal["methods", "networks", "datasets"]


@cache
def list_entry_points(kind: Kind) -> Mapping[str, str]:
    """What the installed packages announce, by name: `package.module` or
    `package.module:function`.

    Raises:
        UserError: two packages announce different things by one name.
    """
    found: dict[str, str] = {}
    for point in entry_points(group=f"pruning_studies.{kind}"):
        if found.setdefault(point.name, point.value) != point.value:
            raise UserError(
                f"'{point.name}' of {kind} is announced twice, as {found[point.name]} and as "
                f"{point.value}: uninstall one of the packages"
            )
    return found


def find_entry_point(kind: Kind, name: str, *, built_in: bool) -> str | None:
    """What an installed package announces by a name; None where none does.

    Args:
        built_in: whether something of that name comes with the project.

    Raises:
        UserError: it does, too, so that the name would mean two things; or see `list_entry_points`.
    """
    found = list_entry_points(kind).get(name)
    if found is not None and built_in:
        raise UserError(
            f"'{name}' of {kind} comes with the project, and an installed package announces "
            f"{found} by the same name: rename that one, or uninstall the package"
        )
    return found


def find_module_file(kind: Kind, name: str) -> Path:
    """The file of the module that is announced by a name; only packages above it are imported.

    Raises:
        UserError: it cannot be found.
    """
    module = list_entry_points(kind)[name].partition(":")[0]
    try:
        spec = find_spec(module)
    except Exception as error:  # packages above it may fail in any way
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"cannot find '{module}' of {kind} '{name}' ({reason})") from error
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise UserError(f"cannot find '{module}' of {kind} '{name}': no such Python file")
    return Path(spec.origin)


def load_function(kind: Kind, name: str) -> Callable[..., object]:
    """The function that is announced by a name.

    Raises:
        UserError: it cannot be imported.
    """
    for point in entry_points(group=f"pruning_studies.{kind}", name=name):
        try:
            found: object = point.load()
        except (Exception, SystemExit) as error:  # it may fail in any way
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise UserError(
                f"cannot import '{point.value}' of {kind} '{name}' ({reason})"
            ) from error
        if callable(found):
            return found
        raise UserError(f"'{point.value}' of {kind} '{name}' must be a function")
    raise UserError(f"no installed package announces {kind} '{name}'")
