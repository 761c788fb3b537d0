"""The text files of a study directory: `study.yaml`, `plan.json` and the records of failures.

The analysis writes none of them, so it takes what it can: what is damaged is left out and named
among the warnings.
"""

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from trainables.storage import layout
from trainables.storage.store import Store, StoreLost

PLAN_COLUMNS = (
    "key",
    "dataset",
    "model",
    "method",
    "knobs",
    "recipe",
    "retrain",
    "weights",
    "normalise",
    "image_size",
    "seed",
    "sparsities",
    "parents",
)
ADVICE = {
    layout.STUDY_FILE: "delete it and run the study again, which writes it anew",
    layout.PLAN_FILE: "run the study again, which writes it anew",
}


@dataclass(frozen=True)
class Failure:
    """A trial that was given up, from `failures/<key>.json`; `error` is one line."""

    key: str
    error: str
    attempts: int
    traceback: str = ""
    finished: str = ""


def first_line(error: object) -> str:
    """The first line of a text, safe to print: what it quotes may be anything."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:500]
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in line
    )


def read_yaml_or_json(store: Store, path: str, warnings: list[str]) -> object:
    """The content of a YAML or JSON file, or None where it is absent or broken."""
    if not store.exists(path):
        return None
    try:
        content = store.read(path)
        return (
            json.loads(content)
            if path.endswith(".json")
            else _LoaderWithoutAliases(content).get_single_data()
        )
    except StoreLost:
        raise
    except Exception as error:  # damaged text fails in as many ways as YAML has tags
        advice = ADVICE.get(path, "run the study with --retry-failed")
        warnings.append(f"skipped {first_line(path)}: {first_line(error)}; {advice}")
        return None


class _LoaderWithoutAliases(yaml.SafeLoader):
    """A YAML loader that refuses aliases: the project writes none, and a few of them can unfold to
    more than memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("it holds an alias, which the project does not write")
        return super().compose_node(parent, index)


def check_study_file(spec: object, warnings: list[str]) -> dict[str, object]:
    """What can be used of a study file; what is of another kind than the project writes is left
    out, with a warning."""
    if not isinstance(spec, dict):
        if spec is not None:
            warnings.append(
                "skipped study.yaml: it is no mapping of keys to values; "
                f"{ADVICE[layout.STUDY_FILE]}"
            )
        return {}
    kinds = {
        **dict.fromkeys(("name", "description", "dataset", "model"), str),
        **dict.fromkeys(("recipe", "retrain", "resources"), dict),
        **dict.fromkeys(("methods", "sparsities", "seeds", "also", "published"), list),
    }
    wrong = [name for name in spec if not isinstance(spec[name], kinds.get(name, object))]
    resources = spec.get("resources")
    if isinstance(resources, dict) and not all(
        isinstance(value, int | float | str | None) for value in resources.values()
    ):
        wrong.append("resources")
    warnings += [
        f"skipped '{first_line(name)}' of study.yaml: it is not what the project writes there"
        for name in wrong
    ]
    return {str(name): value for name, value in spec.items() if name not in wrong}


def read_plan(planned: object, warnings: list[str]) -> pd.DataFrame:
    """The plan as a frame, one row per trial."""
    if planned is None:
        warnings.append("there is no readable plan.json: trials that are missing cannot be named")
    trials = planned.get("trials") if isinstance(planned, dict) else []
    listed = trials if isinstance(trials, list) else [None]
    whole = [trial for trial in listed if isinstance(trial, dict) and _is_planned(trial)]
    if len(whole) < len(listed) or not isinstance(planned, dict | None):
        warnings.append(f"skipped what is damaged of plan.json; {ADVICE[layout.PLAN_FILE]}")
    plan = pd.DataFrame([{column: trial.get(column) for column in PLAN_COLUMNS} for trial in whole])
    return plan.reindex(columns=list(PLAN_COLUMNS)).drop_duplicates("key", ignore_index=True)


def _is_planned(trial: dict[str, Any]) -> bool:
    """Whether an entry of the plan has what is needed, in the types that the project writes."""
    names = ("key", "dataset", "model", "method")
    has_names = all(isinstance(trial.get(name), str) for name in names)
    options = ("knobs", "recipe", "retrain", "weights", "normalise")
    has_options = all(isinstance(trial.get(name), str | None) for name in options)
    sparsities, parents, seed = (trial.get(name) for name in ("sparsities", "parents", "seed"))
    return (
        has_names
        and has_options
        and (sparsities is None or (isinstance(sparsities, list) and _are_shares(sparsities)))
        and (parents is None or (isinstance(parents, list) and _are_texts(parents)))
        and (seed is None or (isinstance(seed, int) and 0 <= seed < 2**63))
    )


def _are_texts(values: list[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _are_shares(values: list[object]) -> bool:
    """Whether all values are numbers from 0 to 1."""
    if not set(map(type, values)) <= {int, float, bool}:
        return False
    numbers: list[float] = values  # type: ignore[assignment]
    # The sum is NaN where one of them is, and then not >= 0.
    return not numbers or (min(numbers) >= 0 and max(numbers) <= 1 and sum(numbers) >= 0)


def read_failures(store: Store, warnings: list[str]) -> tuple[Failure, ...]:
    """All failure files, in the order of their keys."""
    failures = []
    for path in store.list(layout.FAILURES, ".json"):
        record = read_yaml_or_json(store, path, warnings)
        if not isinstance(record, dict):
            record = {"error": "the record of this failure cannot be read"}
        attempts = record.get("attempts")
        failures.append(
            Failure(
                first_line(layout.failure_key(path)),
                first_line(record.get("error") or "no reason was recorded"),
                attempts if isinstance(attempts, int) and attempts > 0 else 1,
                str(record.get("traceback") or ""),
                str(record.get("finished") or ""),
            )
        )
    return tuple(failures)
