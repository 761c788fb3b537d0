"""Which trial and level of a study is meant, and what the study recorded of it. Does not import
torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.util import find_spec
from itertools import takewhile
from typing import Any, Literal

import yaml

from pruning import registry
from pruning.user_error import UserError
from trainables.storage import parquet_tables
from trainables.storage.store import Store
from trainables.training.recipe import Recipe
from trainables.trial_spec import TrialSpec

Format = Literal["safetensors", "onnx", "state_dict"]
Form = Literal["dense", "masks", "slim"]
Row = dict[str, Any]
NEEDS: dict[Format, tuple[str, ...]] = {
    "safetensors": ("safetensors",),
    "state_dict": (),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
}


def check_installed(to: Format) -> None:
    """Pass if the packages that a format needs are there.

    Raises:
        UserError: one is not.
    """
    for package in NEEDS[to]:
        if find_spec(package) is None:
            raise UserError(
                f"format '{to}' needs the package '{package}': pip install -e '.[export]'"
            )


def find_key(store: Store, text: str) -> str:
    """The key of a study that is meant by a key, the unique beginning of one, or the title of a
    trial.

    Raises:
        UserError: none is, or several are; the message names the nearest.
    """
    planned = {str(trial["key"]) for trial in read_plan(store).get("trials", [])}
    known = sorted(planned | _done(store))
    if not known:
        raise UserError(f"no study in {store.place()}: it has neither plan.json nor rows")
    asked = (
        text.strip().partition(" (")[0].strip("/")
    )  # a title is a key and, in brackets, the knobs
    if asked in known:
        return asked
    found = [key for key in known if asked and key.startswith(asked)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"'{asked}' begins {len(found)} keys, e.g. {', '.join(found[:3])}; give more of one"
        )
    near = sorted(known, key=lambda key: -_shared(key, asked))[:3]
    raise UserError(f"no trial '{asked}' in {store.place()}; the nearest are {', '.join(near)}")


def read_rows(store: Store, key: str) -> list[Row]:
    """The rows of a trial in the order in which they were measured.

    Raises:
        UserError: it is not done.
    """
    try:
        return list(
            parquet_tables.decode("rows", store.read(f"rows/{key}.parquet"), key=key).to_pylist()
        )
    except FileNotFoundError:
        if store.exists(f"failures/{key}.json"):
            raise UserError(
                f"{key} failed ({store.place(f'failures/{key}.json')}), so it has no network"
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
    if found := [row for row in rows if row["level"] == wanted]:
        return found[-1]
    there = ", ".join(str(number) for number in dict.fromkeys(row["level"] for row in rows))
    raise UserError(f"{rows[0]['key']} has no level {level}; there are: {there}")


def read_spec(rows: list[Row], plan: Mapping[str, Any]) -> TrialSpec:
    """The trial that gave these rows.

    Args:
        plan: see `read_plan`; it tells the files of the user's own methods.

    Raises:
        UserError: it cannot be told from them, because the project has changed since.
    """
    first, sources = rows[0], plan.get("sources", {})
    asked = list(dict.fromkeys(row["sparsity"] for row in rows if row["sparsity"] is not None))
    try:
        knobs = json.loads(first["knobs"])
        spec = TrialSpec(
            dataset=first["dataset"],
            model=first["model"],
            method=first["method"],
            knobs=knobs,
            sparsities=tuple(asked),
            seed=first["seed"],
            recipe=Recipe.model_validate_json(first["recipe"]),
            retrain=Recipe.model_validate_json(first["retrain"]) if first["retrain"] else None,
            test=first["test_top1"] is not None,
            sources={
                name: digest
                for name, digest in sources.items()
                if name in (first["method"], knobs.get("of"))
            },
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"the rows of {first['key']} do not tell its trial: {error}") from None
    if spec.key != first["key"]:
        raise UserError(
            f"the rows of {first['key']} are those of {spec.key} today: the project has changed since"
        )
    return spec


def describe_method(row: Row, plan: Mapping[str, Any]) -> dict[str, Any]:
    """The card of a row's method as a mapping, with the knobs of its trial under "knobs", defaults
    included.

    Raises:
        UnknownMethod: neither the plan nor the project knows it any more.
    """
    found = plan.get("cards", {}).get(row["method"])
    if found is None:
        kind = registry.find(row["method"])
        found = {
            **asdict(kind.card),
            "knobs": {name: field.default for name, field in kind.model_fields.items()},
        }
    return {**found, "knobs": {**found["knobs"], **json.loads(row["knobs"])}}


def read_data_dir(store: Store) -> str | None:
    """Where the study says that its images are; None for data sets known by name."""
    try:
        found = yaml.safe_load(store.read("study.yaml"))
    except (FileNotFoundError, yaml.YAMLError):
        return None
    given = found.get("data_dir") if isinstance(found, dict) else None
    return given if isinstance(given, str) else None


def read_plan(store: Store) -> dict[str, Any]:
    """What the study expects of its trials, `plan.json`; empty where it cannot be read."""
    try:
        found = json.loads(store.read("plan.json"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _shared(one: str, other: str) -> int:
    """Characters that two texts have in common from their beginning on."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _done(store: Store) -> set[str]:
    return {
        path.removeprefix("rows/").removesuffix(".parquet")
        for path in store.list("rows", ".parquet")
    }
