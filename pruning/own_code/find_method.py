"""The method that the user names, and the phases by which it prunes to a sparsity."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

from pydantic import ValidationError

from pruning.method import Method
from pruning.registry import add_user_files, build_method, find_method_class
from pruning.user_error import UserError, nearest
from pruning.validation_errors import describe_validation_error


def find_method(
    method: str | Method | type[Method], knobs: Mapping[str, Any]
) -> tuple[str, Method]:
    """A method and its name, from a name of the registry, the path of a method's file, a class, or
    a method with its knobs set.

    Raises:
        UserError: there is none, or it does not take these knobs.
    """
    if isinstance(method, Method):
        if knobs:
            raise UserError(
                f"the method has its knobs already: leave out {', '.join(knobs)}, or give the class"
            )
        return type(method).__name__, method
    if isinstance(method, str):
        name = add_user_files(method)[0] if method.endswith(".py") else method
        kind = find_method_class(name)
    elif isinstance(method, type) and issubclass(method, Method):
        name, kind = method.__name__, method
    else:
        raise UserError(
            f"method must be a name, a file or a Method, but got {type(method).__name__}"
        )
    for knob in knobs:
        if knob not in kind.model_fields:
            known = list(kind.model_fields)
            hint = nearest(knob, known) if known else "; it has none"
            raise UserError(f"method '{name}' has no knob '{knob}'{hint}")
    try:
        return name, build_method(name, knobs) if isinstance(method, str) else kind(**knobs)
    except ValidationError as error:
        raise UserError(describe_validation_error(error, where=f"method '{name}'")) from None


def find_sparsities(name: str, method: Method, sparsity: float | None) -> tuple[float, ...]:
    """The sparsities that the method visits on its way to the requested one, as in a study of this
    one sparsity.

    Raises:
        UserError: none was requested and one is needed, or these knobs lead elsewhere.
    """
    if sparsity is not None and not (isinstance(sparsity, Real) and 0 <= sparsity < 1):
        raise UserError(f"sparsity must be in [0, 1), but got {sparsity!r}")
    trials = method.trials(() if sparsity is None else (float(sparsity),))
    if not trials:
        raise UserError(f"method '{name}' needs a sparsity, e.g. sparsity=0.9")
    sparsities = trials[-1]
    if sparsity is not None and sparsity not in sparsities:
        if not sparsities:
            raise UserError(
                f"method '{name}' finds the sparsity by its own rule: leave out "
                f"sparsity={sparsity:g}, or change its knobs"
            )
        raise UserError(
            f"method '{name}' with these knobs ends at sparsity {sparsities[-1]:g}, not at "
            f"{sparsity:g}: leave sparsity out, or change its knobs"
        )
    return sparsities
