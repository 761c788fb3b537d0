"""`--list-presets` and `--list-methods`: what comes with the project, printed and as JSON."""

import json
import shutil
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pruning import registry
from sweeps.planning.plan import describe_method
from sweeps.study_file.study_reader import read_study_file

WIDEST = 100  # columns of a line, where the terminal has more


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
        _print_entry(preset["name"], preset["description"])
    return {"presets": listed}


def list_methods() -> dict[str, Any]:
    """Print every method with its cost, knobs and paper; returns them as JSON."""
    methods = [{"name": name, **describe_method(name)} for name in registry.list_methods()]
    for method in methods:
        in_all = registry.find_method_class(method["name"]).in_all
        knobs = ", ".join(f"{name}: {_in_yaml(value)}" for name, value in method["knobs"].items())
        _print_entry(
            f"{method['name']} ({method['kind']}{'' if in_all else ', no part of methods: all'})",
            method["summary"],
            f"cost: {method['cost']}",
            f"when to use it: {method['when']}",
            f"knobs and their defaults: {{{knobs}}}" if knobs else "",
            f"paper: {method['paper']}" if method["paper"].strip("- ") else "",
        )
    return {"methods": methods}


def _print_entry(name: str, *paragraphs: str) -> None:
    """Print a name, and below it what is said of it, in lines that fit the terminal."""
    width = min(shutil.get_terminal_size().columns, WIDEST)
    print(name)
    for text in filter(None, paragraphs):
        print(textwrap.fill(text, width, initial_indent="    ", subsequent_indent="      "))


def _in_yaml(value: object) -> str:
    """A default as a study file would have it."""
    return str(value) if isinstance(value, str) else json.dumps(value, default=str)
