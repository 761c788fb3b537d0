"""A function that only raises."""

from collections.abc import Callable
from typing import NoReturn


def raising(error: BaseException) -> Callable[..., NoReturn]:
    """A function that only raises."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    return fail
