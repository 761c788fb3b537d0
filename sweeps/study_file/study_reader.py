"""Study files and presets as they stand, before defaults and checks."""

from pathlib import Path
from typing import Any

from pruning.user_error import UserError, nearest
from sweeps.study_file.yaml_reader import parse_yaml, read_text

PRESETS = Path(__file__).parents[1] / "presets"

_KINDS: dict[type, str] = {type(None): "is empty", list: "is a list", str: "is a text"}


def find_study_presets() -> dict[str, Path]:
    """Study files that come with the project, by name."""
    return {path.stem: path for path in sorted(PRESETS.glob("*.yaml"))}


def read_study_preset(name: str) -> dict[str, Any]:
    """A preset as it stands.

    Raises:
        UserError: there is none of that name.
    """
    presets = find_study_presets()
    if name not in presets:
        raise UserError(f"no preset '{name}'{nearest(name, list(presets))}")
    return read_study_file(presets[name])


def read_study_file(path: str | Path) -> dict[str, Any]:
    """A study file, or a search file, as it stands.

    Raises:
        UserError: it is missing, or no YAML mapping.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise UserError(f"cannot read the study file {path}: {error.strerror}") from None
    except UserError as error:
        raise UserError(f"cannot read the study file {path}: {error}") from None
    try:
        raw = parse_yaml(text)
    except UserError as error:
        raise UserError(f"the study file {path} is not YAML: {error}") from None
    if not isinstance(raw, dict):
        kind = _KINDS.get(type(raw), "is one value")
        raise UserError(f"the study file {path} must be a mapping of keys to values, but {kind}")
    return raw
