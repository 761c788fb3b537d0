"""The searches that come with the project."""

from pathlib import Path
from typing import Any

from pruning.user_error import UserError, nearest
from sweeps.study_file.study_reader import read_study_file

PRESETS = Path(__file__).parent / "presets"


def find_search_presets() -> dict[str, Path]:
    """Search files that come with the project, by name."""
    return {path.stem: path for path in sorted(PRESETS.glob("*.yaml"))}


def read_search_preset(name: str) -> dict[str, Any]:
    """A preset as it stands.

    Raises:
        UserError: there is none of that name.
    """
    presets = find_search_presets()
    if name not in presets:
        raise UserError(f"no search preset '{name}'{nearest(name, list(presets))}")
    return read_study_file(presets[name])
