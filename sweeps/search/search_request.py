"""What the options of the search command ask for: a checked search."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from pruning.user_error import UserError
from sweeps.cli.override import override
from sweeps.cli.study_request import parse_numbers, set_common_fields
from sweeps.search.search_presets import read_search_preset
from sweeps.search.search_spec import SearchSpec, build_search
from sweeps.search.strategy import STRATEGIES
from sweeps.study_file.study_reader import read_study_file

BUDGET: dict[str, type[float] | type[int]] = {
    "trials": int,
    "hours": float,
    "money": float,
    "price": float,
}
LISTS: dict[str, type[float] | type[int]] = {"sparsities": float, "confirm_seeds": int}


def read_search(options: Namespace, *, default_preset: str) -> SearchSpec:
    """The search that the options ask for: a preset or a file, with what the other options change.

    Raises:
        UserError: anything in it is wrong.
    """
    preset = default_preset if options.preset is None and options.search is None else options.preset
    raw = read_study_file(options.search) if preset is None else read_search_preset(preset)
    where = Path(options.search).name if preset is None else f"preset {preset}"
    if options.lr is not None:
        ends = parse_numbers(options.lr, float, "--lr")
        if len(ends) != 2:
            raise UserError(
                f"--lr takes the two ends of a range, e.g. 0.01,0.3, but got '{options.lr}'"
            )
        _add_dimension(raw, "recipe.lr", {"log_range": ends})
    if options.epochs is not None:
        choices = parse_numbers(options.epochs, int, "--epochs")
        _add_dimension(raw, "recipe.epochs", {"choices": choices})
    if options.strategy is not None:
        _choose_strategy(raw, options.strategy)
    for assignment in options.set:
        _override_field(raw, assignment)
    for name, kind in LISTS.items():
        if (text := getattr(options, name)) is not None:
            raw[name] = parse_numbers(text, kind, f"--{name.replace('_', '-')}")
    if options.seed is not None:
        raw["seed"] = _parse_number(options.seed, int, "--seed")
    for name, kind in BUDGET.items():
        if (text := getattr(options, name)) is not None:
            override(raw, f"budget.{name}={_parse_number(text, kind, f'--{name}')}")
    set_common_fields(raw, options)
    return build_search(raw, where=where)


def _parse_number(text: str, kind: type[float] | type[int], option: str) -> float | int:
    numbers = parse_numbers(text, kind, option)
    if len(numbers) != 1:
        raise UserError(f"{option} takes one number, but got '{text}'")
    return numbers[0]


def _add_dimension(raw: dict[str, Any], name: str, dimension: dict[str, Any]) -> None:
    if not isinstance(raw.get("space"), dict):
        raw["space"] = {}
    raw["space"][name] = dimension


def _choose_strategy(raw: dict[str, Any], name: str) -> None:
    """Set the strategy by its name; what else the file says of its strategy stays."""
    if name not in STRATEGIES:
        raise UserError(f"--strategy: there are {', '.join(STRATEGIES)}, but got '{name}'")
    given = raw.get("strategy")
    kept = given if isinstance(given, dict) else {}
    raw["strategy"] = {**kept, "stop": "none", **STRATEGIES[name]}


def _override_field(raw: dict[str, Any], assignment: str) -> None:
    """Set one field: `recipe.epochs=5`; in the space, a name may have a dot in it:
    `space.recipe.lr.points=9`."""
    path = assignment.partition("=")[0].strip()
    given = raw.get("space")
    for name, dimension in given.items() if isinstance(given, dict) else ():
        if path.startswith(f"space.{name}.") and isinstance(dimension, dict):
            override(dimension, assignment.strip().removeprefix(f"space.{name}."))
            return
    if isinstance(raw.get("strategy"), str) and path.startswith("strategy."):
        _choose_strategy(raw, raw["strategy"])
    override(raw, assignment)
