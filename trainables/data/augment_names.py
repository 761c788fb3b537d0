"""The augmentations of training images by name: which there are, in which order they can stand, and
the user's own functions among them. Does not import torch.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from models.model_registry import import_function
from models.user_modules import digest_user_module
from pruning.user_error import UserError, nearest
from trainables.data.loader_interface import Augment

# Made on the device out of images that lie there, all draws of an epoch at once.
DRAWN_TOGETHER = ("none", "crop", "crop_flip")
# These bring an image to its final size; so does a function of the user.
SIZING = ("crop", "crop_flip", "resized_crop")
NAMES = (*DRAWN_TOGETHER, "resized_crop", "randaugment", "trivial_augment", "random_erasing")
OWN = "package.module:function"


def parse_augment(value: object) -> Augment | None:
    """An augmentation as a study file has it, checked: one name, or a list of them in the order in
    which they are applied. A list of one is that one.

    Raises:
        ValueError: no name, no such name, or names that cannot stand together.
    """
    if value is None:  # no change, where a recipe changes
        return None
    names = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"must be a name or a list of names, but got {value}")
    for name in names:
        _check_name(name)
    if not names:
        raise ValueError("the list must not be empty; write none to augment nothing")
    if len(names) > 1 and "none" in names:
        raise ValueError("'none' must stand alone")
    sizing = [name for name in names if name in SIZING]
    if len(sizing) > 1:
        raise ValueError(f"choose one of {' and '.join(map(repr, sizing))}; each crops the image")
    return names[0] if len(names) == 1 else names


def _check_name(name: str) -> None:
    if name in NAMES:
        return
    module, colon, function = name.partition(":")
    if colon:
        if not all(part.isidentifier() for part in [*module.split("."), function]):
            raise ValueError(f"an augmentation of your own is named '{OWN}', but got '{name}'")
        return
    raise ValueError(f"no augmentation '{name}'{nearest(name, [*NAMES, OWN])}")


def names_of(augment: Augment) -> tuple[str, ...]:
    """The names in an augmentation, in their order."""
    return (augment,) if isinstance(augment, str) else augment


def is_drawn_together(augment: Augment) -> bool:
    """Whether an augmentation can be made on the device, where all images lie there."""
    return augment in DRAWN_TOGETHER


def find_own_functions(augments: Iterable[Augment]) -> tuple[str, ...]:
    """The user's functions among augmentations, each once, in alphabetical order."""
    return tuple(sorted({name for one in augments for name in names_of(one) if ":" in name}))


def import_own_function(name: str) -> Callable[..., object]:
    """The user's function behind `package.module:function`.

    Raises:
        UserError: the module cannot be imported, or has no such function.
    """
    return import_function(name, purpose=f"augment '{name}'")


def digest_own_functions(augments: Iterable[Augment]) -> dict[str, str]:
    """The SHA-256 of the file that each function of the user lies in and of his files that it
    imports, by the function's name: what a trial's identity must hold, so that a changed file makes
    new trials.

    Raises:
        UserError: see `import_own_function`; or the module has no file.
    """
    digests = {}
    for name in find_own_functions(augments):
        import_own_function(name)
        path = name.partition(":")[0]
        file = sys.modules[path].__file__
        if file is None or Path(file).suffix != ".py":
            raise UserError(f"augment '{name}' must lie in a .py file, but '{path}' is none")
        whole = digest_user_module(path)  # "" for what is installed
        digests[name] = whole or hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return digests


def check_own_functions(digests: dict[str, str]) -> None:
    """Check in a worker that the user's functions are those that the study was planned with.

    Raises:
        UserError: a file has another content, or a function is missing.
    """
    present = digest_own_functions(digests)
    for name, digest in digests.items():
        if present[name] != digest:
            raise UserError(
                f"the file of augment '{name}' is not the one that the study was planned with; "
                "launch the study again, or bring all nodes to the same file"
            )
