"""What pydantic finds wrong with a file of the user, as one line: the place, the rule, the value
and the nearest fix."""

import re
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from pruning.user_error import nearest, short


def describe_validation_error(
    error: ValidationError, *, where: str = "", model: type[BaseModel] | None = None
) -> str:
    """The first fault of a pydantic error in one line, with the nearest name for an unknown key.

    Args:
        where: what was read, e.g. a file name; put in front.
        model: whose fields unknown keys at the top are compared with.
    """
    first, *rest = error.errors(include_url=False)
    tags = (
        "constrained-",
        "function-",
        "literal[",
        "list[",
        "given-",
    )  # pydantic's names for the members of a union
    field = ".".join(str(part) for part in first["loc"] if not str(part).startswith(tags))
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        text = f"unknown key '{field}'{nearest(key, _field_names(model, first['loc'][:-1]))}"
    elif first["type"] in ("value_error", "assertion_error"):
        reason = str(first.get("ctx", {}).get("error", first["msg"]))
        text = f"{field}: {reason}" if field else reason
    elif first["type"] == "missing":
        text = f"{field}: field required"
    else:
        rule = (
            "input should be a mapping"
            if first["type"] in ("model_type", "dict_type")
            else _plain_rule(first["msg"])
        )
        text = f"{field}: {rule}, but got {short(first['input'])}"
        if first["type"] == "list_type" and isinstance(first["input"], str | int | float):
            text += f": write [{first['input']}]"
    more = f" (and {len(rest)} more)" if rest else ""
    return " ".join(f"{where + ': ' if where else ''}{text}{more}".split())


def _plain_rule(message: str) -> str:
    """A rule in pydantic's words, without what the line says anyway."""
    return re.sub(
        r", unable to parse .*| after validation, not \d+$", "", message[:1].lower() + message[1:]
    )


def _field_names(model: type[BaseModel] | None, path: tuple[Any, ...]) -> list[str]:
    """Names of the fields of the model found by following a path of field names."""
    for part in path:
        field = model.model_fields.get(str(part)) if model else None
        annotation = field.annotation if field else None
        kinds = (annotation, *get_args(annotation))  # or a model and None
        models = (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
        model = next(models, None)
    return list(model.model_fields) if model else []
