"""`--list-presets` and `--list-methods`: what comes with the project, printed and as JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pruning import registry
from sweeps.planning.plan import describe_method
from sweeps.study_file.study_reader import read_study_file


def list_presets(presets: Mapping[str, Path]) -> dict[str, Any]:
    """Print the name and the description of each preset; returns them as JSON."""
    listed = [
        {
            "name": name,
            "path": str(path),
            "description": read_study_file(path).get("description", ""),
        }
        for name, path in presets.items()
    ]
    for preset in listed:
        print(f"{preset['name']:32} {preset['description']}")
    return {"presets": listed}


def list_methods() -> dict[str, Any]:
    """Print every method with its paper and cost; returns them, with their knobs, as JSON."""
    names = registry.list_methods()
    for name in names:
        kind = registry.find_method_class(name)
        card, remark = kind.card, "" if kind.in_all else "; no part of 'methods: all'"
        print(f"{name:16} {card.kind:13} {card.summary}")
        print(f"{'':30} {card.paper}; cost: {card.cost}; when to use it: {card.when}{remark}")
    return {"methods": [{"name": name, **describe_method(name)} for name in names]}
