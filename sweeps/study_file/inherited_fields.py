"""What a study file leaves out and takes from elsewhere in it: the recipe of retraining from that
of training, and a further setting from the study itself."""

from contextlib import suppress
from typing import Any

from pruning.user_error import short
from trainables.training.recipe import Recipe

# The fields that a further setting may change.
SETTING_FIELDS = frozenset(
    (
        "dataset",
        "model",
        "image_size",
        "weights",
        "normalise",
        "recipe",
        "retrain",
        "methods",
        "sparsities",
        "exclude",
        "layer_sparsity",
    )
)
SETTINGS = 100  # further settings of a study
# Fields of a recipe that belong to one schedule.
OF_MULTISTEP = ("milestones",)
OF_ONECYCLE = ("pct_start", "div_factor", "final_div_factor", "cycle_momentum")


def fill_inherited_fields(raw: Any) -> Any:
    """The content of a study file with its retrain recipe and its further settings filled in.

    Raises:
        ValueError: a part of it is of the wrong kind.
    """
    if not isinstance(raw, dict):
        raise ValueError("a study file is a mapping of keys to values")
    also = [] if raw.get("also") is None else raw["also"]
    if isinstance(also, dict):
        raise ValueError(f"also is a list: put '- ' before each setting, but got {short(also)}")
    if not isinstance(also, list) or len(also) > SETTINGS:
        raise ValueError(f"also is a list of at most {SETTINGS} mappings, but got {short(also)}")
    recipe, retrain = _mapping(raw, "recipe"), _mapping(raw, "retrain")
    raw = {**raw, "also": [_fill_setting(raw, setting) for setting in also]}
    inherited = dict(recipe)
    if retrain.get("schedule", recipe.get("schedule")) != recipe.get("schedule"):
        refused = ("warmup",) if retrain.get("schedule") == "onecycle" else ()
        for field in (*OF_MULTISTEP, *OF_ONECYCLE, *refused):
            inherited.pop(field, None)
    inherited.pop("changes", None)  # they belong to one training
    tenth = _tenth_of_rate(recipe.get("lr", Recipe.model_fields["lr"].default))
    return {**raw, "recipe": recipe, "retrain": {**inherited, **tenth, **retrain}}


def _fill_setting(raw: dict[str, Any], setting: Any) -> dict[str, Any]:
    """A further setting: what it does not say is as in the study."""
    if not isinstance(setting, dict):
        raise ValueError(f"also is a list of mappings, but got {short(setting)}")
    if other := sorted(str(name) for name in setting if name not in SETTING_FIELDS):
        raise ValueError(
            f"also may change {', '.join(sorted(SETTING_FIELDS))}, but got '{other[0]}'"
        )
    base = {name: value for name, value in raw.items() if name not in ("also", "published")}
    recipes = {
        name: {**_mapping(base, name), **_mapping(setting, name)}
        for name in ("recipe", "retrain")
        if name in setting
    }
    return {**base, **setting, **recipes}


def _mapping(raw: dict[str, Any], name: str) -> dict[str, Any]:
    """A recipe as it stands; nothing in it where it is not there."""
    if raw.get(name) is None:
        return {}
    if not isinstance(raw[name], dict):
        raise ValueError(
            f"{name}: a recipe is a mapping of keys to values, but got {short(raw[name])}"
        )
    return dict(raw[name])


def _tenth_of_rate(rate: Any) -> dict[str, float]:
    """A tenth of a learning rate, which may still be the text that YAML makes of `1e-1`; nothing
    where the value is none above 0, which is inherited as it stands."""
    with suppress(TypeError, ValueError, OverflowError):
        return {"lr": float(rate) / 10} if float(rate) > 0 else {}
    return {}
