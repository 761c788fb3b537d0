"""What a study directory says of itself: `study.yaml`, as asked for, and `plan.json`, what is
expected of it."""

import yaml
from pydantic import ValidationError

from pruning.user_error import UserError, short
from sweeps.planning.plan import Plan
from sweeps.study_file import yaml_reader
from sweeps.study_file.study import StudySpec
from trainables.storage.store import Store, StoreLost
from trainables.training.recipe import Recipe
from trainables.user_method_files import publish

RECIPES = ("recipe", "retrain")


def check_same(spec: StudySpec, store: Store) -> None:
    """Refuse to mix two studies in one directory: only methods, sparsities, seeds and resources may
    change.

    Raises:
        UserError: data set, model or a recipe differ from what the directory holds.
    """
    try:
        before = yaml_reader.parse(store.read("study.yaml"), large=True)
        if not isinstance(before, dict):
            raise UserError("it is no mapping of keys to values")
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise UserError(f"{store.place()} is a file; --out names a directory") from None
    except StoreLost:
        raise
    except (OSError, ValueError) as error:
        raise UserError(
            f"{store.place('study.yaml')} cannot be read: {error}; "
            "delete it if what the directory holds is of this study"
        ) from None
    now = spec.model_dump(mode="json")
    for field in ("dataset", "model", "recipe", "retrain"):
        old, new = resolve(before.get(field)) if field in RECIPES else before.get(field), now[field]
        if old != new:
            inner = field
            if isinstance(old, dict) and isinstance(new, dict):
                name = next(
                    name
                    for name in {**new, **old}
                    if old.get(name, "nothing") != new.get(name, "nothing")
                )
                inner, old, new = (
                    f"{field}.{name}",
                    old.get(name, "nothing"),
                    new.get(name, "nothing"),
                )
            raise UserError(
                f"{store.place()} holds a study with {inner} = {_told(old)}, but now it is {_told(new)}; "
                "choose another --out, or --fresh to delete what is there"
            )


def resolve(recipe: object) -> object:
    """A recipe that another version of the project wrote, with today's defaults for fields that it
    did not know."""
    try:
        return Recipe.model_validate(recipe).model_dump(mode="json")
    except ValidationError:
        return recipe


def _told(value: object) -> str:
    return value if isinstance(value, str) else short(value)


def describe(spec: StudySpec, plan: Plan, store: Store) -> None:
    """Write what was asked for, for the reader and the analysis, and the user's own methods, for
    the workers."""
    publish(plan.sources, store)
    store.write(
        "study.yaml", yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False).encode()
    )
    store.write("plan.json", plan.to_json())
