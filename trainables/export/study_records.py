"""What a study recorded of a trial: its key from the part of one, its rows, its spec, its method.
Does not import torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from itertools import takewhile
from typing import Any

import yaml

from pruning import registry
from pruning.user_error import UserError
from trainables.data.augment_names import find_own_functions
from trainables.storage import layout, parquet_tables
from trainables.storage.store import Store
from trainables.training.recipe import Recipe
from trainables.trial_spec import TrialSpec

Row = dict[str, Any]


def find_key(store: Store, text: str) -> str:
    """The key in a study that equals a text or begins with it; a trial's title counts as its key.

    Raises:
        UserError: none is, or several are; the message names the nearest.
    """
    planned = {str(trial["key"]) for trial in read_plan(store).get("trials", [])}
    known = sorted(planned | _done(store))
    if not known:
        raise UserError(f"no study in {store.place()}: it has neither plan.json nor rows")
    # A title is a key and, in brackets, the knobs.
    start = text.strip().partition(" (")[0].strip("/")
    if start in known:
        return start
    matching = [key for key in known if start and key.startswith(start)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        examples = ", ".join(matching[:3])
        raise UserError(f"'{start}' begins {len(matching)} keys, e.g. {examples}; give more of one")
    nearest = sorted(known, key=lambda key: _likeness(key, start), reverse=True)[:3]
    raise UserError(f"no trial '{start}' in {store.place()}; the nearest are {', '.join(nearest)}")


def read_rows(store: Store, key: str) -> list[Row]:
    """The rows of a trial in the order in which they were measured.

    Raises:
        UserError: it is not done.
    """
    try:
        return list(parquet_tables.read_table(store, layout.ROWS, key).to_pylist())
    except FileNotFoundError:
        if store.exists(layout.failure_file(key)):
            raise UserError(
                f"{key} failed ({store.place(layout.failure_file(key))}), so it has no network"
            ) from None
        raise UserError(f"{key} is not done; run the study again to finish it") from None
    except parquet_tables.DamagedTable as error:
        raise UserError(
            f"the rows of {key} are damaged ({error}); run the study again to repair them"
        ) from None


def choose_row(rows: list[Row], level: int | None) -> Row:
    """The last row of a level, or of the last level.

    Raises:
        UserError: the trial has no such level.
    """
    wanted = rows[-1]["level"] if level is None else level
    if of_level := [row for row in rows if row["level"] == wanted]:
        return of_level[-1]
    levels = ", ".join(str(number) for number in dict.fromkeys(row["level"] for row in rows))
    raise UserError(f"{rows[0]['key']} has no level {level}; there are: {levels}")


def spec_of_rows(rows: list[Row], plan: Mapping[str, Any]) -> TrialSpec:
    """The trial that gave these rows.

    Args:
        plan: see `read_plan`; it names the method files of the user.

    Raises:
        UserError: the rows do not say it, because the project has changed since.
    """
    first, sources = rows[0], plan.get("sources", {})
    sparsities = dict.fromkeys(row["sparsity"] for row in rows if row["sparsity"] is not None)
    try:
        knobs = json.loads(first["knobs"])
        spec = TrialSpec(
            dataset=first["dataset"],
            model=first["model"],
            method=first["method"],
            knobs=knobs,
            sparsities=tuple(sparsities),
            seed=first["seed"],
            recipe=Recipe.model_validate_json(first["recipe"]),
            retrain=Recipe.model_validate_json(first["retrain"]) if first["retrain"] else None,
            test=first["test_top1"] is not None,
            sources={
                name: digest
                for name, digest in sources.items()
                if name in (first["method"], knobs.get("of"))
            },
            exclude=tuple(json.loads(first.get("exclude") or "[]")),
            layer_sparsity=json.loads(first.get("layer_sparsity") or "{}"),
            weights=first.get("weights") or "",
            normalise=json.loads(first.get("normalise") or "null"),
            image_size=first.get("image_size"),
        ).of_ranks(first.get("ranks") or 1)
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"the rows of {first['key']} do not say which trial it is: {error}"
        ) from None
    files = plan.get("augment_sources", {})
    used = {name: files[name] for name in find_own_functions(spec.augments) if name in files}
    spec = spec.model_copy(update={"augment_sources": used})
    if spec.key != first["key"]:
        raise UserError(
            f"the rows of {first['key']} are those of {spec.key} today: "
            "the project has changed since"
        )
    return spec


def describe_method(row: Row, plan: Mapping[str, Any]) -> dict[str, Any]:
    """The card of a row's method as a mapping, with the knobs of its trial under "knobs", defaults
    included.

    Raises:
        UserError: neither the plan nor the project knows the method any more.
    """
    card = plan.get("cards", {}).get(row["method"])
    if card is None:
        kind = registry.find_method_class(row["method"])
        card = {
            **asdict(kind.card),
            "knobs": {name: field.default for name, field in kind.model_fields.items()},
        }
    return {**card, "knobs": {**card["knobs"], **json.loads(row["knobs"])}}


def read_data_dir(store: Store) -> str | None:
    """Where the study says that its images are; None for data sets known by name."""
    try:
        study = yaml.safe_load(store.read(layout.STUDY_FILE))
    except (FileNotFoundError, yaml.YAMLError):
        return None
    data_dir = study.get("data_dir") if isinstance(study, dict) else None
    return data_dir if isinstance(data_dir, str) else None


def read_plan(store: Store) -> dict[str, Any]:
    """What the study expects of its trials, `plan.json`; empty where it cannot be read."""
    try:
        plan = json.loads(store.read(layout.PLAN_FILE))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return plan if isinstance(plan, dict) else {}


def _likeness(key: str, text: str) -> tuple[int, int]:
    """How near a text comes to a key: parts that it has right, and characters that both have in
    common from their beginning on."""
    parts = zip(key.split("/"), text.split("/"), strict=False)
    right = sum(1 for part, given in parts if given and part.startswith(given))
    same = takewhile(lambda pair: pair[0] == pair[1], zip(key, text, strict=False))
    return right, sum(1 for _ in same)


def _done(store: Store) -> set[str]:
    paths = store.list(layout.ROWS, ".parquet")
    return {layout.table_key(layout.ROWS, path) for path in paths}
