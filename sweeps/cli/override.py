"""`--set KEY=VALUE`: one field of a study or a search that is not built yet."""

from typing import Any

from pruning.user_error import UserError, short
from sweeps.study_file.yaml_reader import parse_yaml


def override(raw: dict[str, Any], assignment: str) -> None:
    """Set one field of a study, in place: `recipe.epochs=5`, `methods.lottery_ticket.levels=3`.

    Raises:
        UserError: it is not key=value, or the path runs through a value that has no fields.
    """
    path, equals, text = assignment.partition("=")
    if not equals or not path.strip():
        raise UserError(f"--set takes key=value, e.g. recipe.epochs=5, but got '{assignment}'")
    try:
        value = parse_yaml(text)
    except UserError:
        value = text
    *parents, last = path.strip().split(".")
    if parents[:1] == ["methods"] and not isinstance(raw.get("methods"), dict):
        raw["methods"] = _as_mapping(raw.get("methods"), assignment)
    fields: Any = raw
    for part in parents:
        if fields.get(part) is None:
            fields[part] = {}
        fields = fields[part]
        if not isinstance(fields, dict):
            raise UserError(f"--set {assignment}: '{part}' has no fields")
    fields[last] = value


def _as_mapping(methods: Any, assignment: str) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for item in methods if isinstance(methods, list) else [methods]:
        if isinstance(item, list):
            raise UserError(
                f"--set {assignment}: methods is a list of names, but holds the list {short(item)}"
            )
        for name, knobs in item.items() if isinstance(item, dict) else [(item, None)]:
            if name in mapping:
                raise UserError(
                    f"--set {assignment}: method '{name}' is listed twice; "
                    "edit the study file instead"
                )
            mapping[name] = knobs
    return mapping
