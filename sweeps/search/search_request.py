"""What the options of the search command ask for: a checked search."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from pruning.user_error import UserError
from sweeps.cli.override import override
from sweeps.cli.study_request import numbers, set_where
from sweeps.search import search_spec as search_spec
from sweeps.search.search_spec import NAMED, SearchSpec
from sweeps.study_file import study

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
    raw = study.read(options.search) if preset is None else search_spec.read_preset(preset)
    where = Path(options.search).name if preset is None else f"preset {preset}"
    if options.lr is not None:
        ends = numbers(options.lr, float, "--lr")
        if len(ends) != 2:
            raise UserError(
                f"--lr takes the two ends of a range, e.g. 0.01,0.3, but got '{options.lr}'"
            )
        _add(raw, "recipe.lr", {"log_range": ends})
    if options.epochs is not None:
        _add(raw, "recipe.epochs", {"choices": numbers(options.epochs, int, "--epochs")})
    if options.strategy is not None:
        _choose_strategy(raw, options.strategy)
    for assignment in options.set:
        _override(raw, assignment)
    for name, kind in LISTS.items():
        if (text := getattr(options, name)) is not None:
            raw[name] = numbers(text, kind, f"--{name.replace('_', '-')}")
    if options.seed is not None:
        raw["seed"] = _number(options.seed, int, "--seed")
    for name, kind in BUDGET.items():
        if (text := getattr(options, name)) is not None:
            override(raw, f"budget.{name}={_number(text, kind, f'--{name}')}")
    set_where(raw, options)
    return search_spec.build(raw, where=where)


def _number(text: str, kind: type[float] | type[int], option: str) -> float | int:
    found = numbers(text, kind, option)
    if len(found) != 1:
        raise UserError(f"{option} takes one number, but got '{text}'")
    return found[0]


def _add(raw: dict[str, Any], name: str, dimension: dict[str, Any]) -> None:
    if not isinstance(raw.get("space"), dict):
        raw["space"] = {}
    raw["space"][name] = dimension


def _choose_strategy(raw: dict[str, Any], name: str) -> None:
    """Take a strategy by its name; what else the file says of its strategy stays."""
    if name not in NAMED:
        raise UserError(f"--strategy: there are {', '.join(NAMED)}, but got '{name}'")
    given = raw.get("strategy")
    raw["strategy"] = {**(given if isinstance(given, dict) else {}), "stop": "none", **NAMED[name]}


def _override(raw: dict[str, Any], assignment: str) -> None:
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
