"""What a study directory says of itself: `study.yaml`, as asked for, and `plan.json`, what is
expected of it."""

import json
from typing import Any

import yaml
from pydantic import ValidationError

from pruning.user_error import UserError, short
from sweeps.planning.model_sources import check_model_sources, record_model_sources
from sweeps.planning.plan import Plan
from sweeps.planning.start_weights import put_weights
from sweeps.study_file.study import StudySpec
from sweeps.study_file.yaml_reader import parse_yaml
from trainables.storage.layout import PLAN_FILE, STUDY_FILE
from trainables.storage.store import Store, StoreLost
from trainables.training.recipe import Recipe
from trainables.user_method_files import store_method_files

RECIPES = ("recipe", "retrain")
LAYER_CHOICES = ("exclude", "layer_sparsity")
ALWAYS = ("dataset", "model", "methods", "sparsities", "seeds")  # fields of every study file
START = ("image_size", "weights", "normalise")


def check_same_study(spec: StudySpec, store: Store) -> None:
    """Refuse to mix two studies in one directory: only methods, sparsities, seeds and resources may
    change.

    Raises:
        UserError: data set, model, weights, a recipe or a choice of layers differ from what the
            directory holds, or a network of the user was edited.
    """
    before = _read_study(store)
    if before is None:
        return
    check_model_sources([setting.model for setting in spec.settings], store)
    now = spec.model_dump(mode="json")
    for name in ("dataset", "model", *RECIPES, *LAYER_CHOICES, *START):
        old, new = before.get(name), now[name]
        if name == "weights":  # wherever they come from
            old, new = _digest(old), _digest(new)
        if name in LAYER_CHOICES:  # an older version had neither
            old = old or type(new)()
        if name in RECIPES:
            old = fill_recipe(old)
        if old != new:
            field, old, new = _first_difference(name, old, new)
            raise UserError(
                f"{store.place()} holds a study with {field} = {_quote(old)}, but now it is "
                f"{_quote(new)}; choose another --out, or --fresh to delete what is there"
            )


def find_changed_augmentations(plan: Plan, store: Store) -> list[str]:
    """Names of the user's augmentations whose files differ from those of the last launch here."""
    if not plan.augment_sources:
        return []
    try:
        before = json.loads(store.read(PLAN_FILE)).get("augment_sources", {})
        return [
            name
            for name, digest in plan.augment_sources.items()
            if before.get(name, digest) != digest
        ]
    except (FileNotFoundError, ValueError, AttributeError):  # none yet, or a damaged one
        return []


def _digest(weights: object) -> object:
    """The digest of a study's weights; None where it begins with random ones."""
    return weights.get("digest") if isinstance(weights, dict) else None


def _read_study(store: Store) -> dict[str, Any] | None:
    """The study that the directory holds; None where it holds none.

    Raises:
        UserError: what it holds cannot be read.
    """
    try:
        before = parse_yaml(store.read(STUDY_FILE), large=True)
        if not isinstance(before, dict):
            raise UserError("it is no mapping of keys to values")
        if any(name not in before for name in ALWAYS):
            raise UserError("it is cut off")
        return before
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise UserError(f"{store.place()} is a file; --out names a directory") from None
    except StoreLost:
        raise
    except (OSError, ValueError) as error:
        raise UserError(
            f"{store.place(STUDY_FILE)} cannot be read: {error}; "
            "delete it if what the directory holds is of this study"
        ) from None


def _first_difference(name: str, old: object, new: object) -> tuple[str, object, object]:
    """The field that differs first, before and now: within recipes, the field of the recipe."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return name, old, new
    nothing = "nothing"
    field = next(
        field for field in {**new, **old} if old.get(field, nothing) != new.get(field, nothing)
    )
    return f"{name}.{field}", old.get(field, nothing), new.get(field, nothing)


def fill_recipe(recipe: object) -> object:
    """A recipe that another version of the project wrote, with today's defaults for fields that it
    did not know."""
    try:
        return Recipe.model_validate(recipe).model_dump(mode="json")
    except ValidationError:
        return recipe


def _quote(value: object) -> str:
    return value if isinstance(value, str) else short(value)


def write_study_description(spec: StudySpec, plan: Plan, store: Store) -> None:
    """Write what was asked for, for the reader and the analysis, and for the workers the user's
    method files and the weights that trials begin with."""
    store_method_files(plan.sources, store)
    record_model_sources([setting.model for setting in spec.settings], store)
    put_weights(spec, store)
    text = yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False)
    store.write(STUDY_FILE, text.encode())
    store.write(PLAN_FILE, plan.to_json())
