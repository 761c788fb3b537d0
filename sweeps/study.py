"""What the user asks for: a study file as a strict model, with presets beside it. Imports neither torch nor Ray."""

from itertools import product
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from models.registry import UnknownModel
from models.registry import check as check_model
from pruning import registry
from pruning.registry import UnknownMethod
from sweeps.mistake import Mistake, nearest, one_line
from trainables import data
from trainables.recipe import Recipe
from trainables.spec import Scalar

PRESETS = Path(__file__).parent / "presets"


def _is_sparsity(value: float) -> float:
    if not 0 <= value < 1:
        raise ValueError(f"sparsity must be in [0, 1), but got {value:g}")
    return value


Sparsity = Annotated[float, AfterValidator(_is_sparsity)]


class Strict(BaseModel):
    """A part of a study file: unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Resources(Strict):
    """What one trial takes of the cluster. Fractions of a GPU let several trials share it."""

    cpus_per_trial: float = Field(default=1, gt=0)
    gpus_per_trial: float = Field(default=0, ge=0)


class Published(Strict):
    """A number from the literature that the tables show beside ours."""

    dataset: str
    model: str
    method: str
    knobs: dict[str, Scalar] = {}
    sparsity: Sparsity
    metric: str = "test_top1"
    value: float
    source: str
    note: str = ""


class MethodEntry(Strict):
    """One method with its knobs; a list as a knob's value is an axis of the grid."""

    name: str
    knobs: dict[str, Scalar | list[Scalar]] = {}

    @model_validator(mode="after")
    def _known(self) -> Self:
        try:
            method = registry.find(self.name)
        except UnknownMethod as error:
            raise ValueError(str(error)) from None
        for knob in self.knobs:
            if knob not in method.model_fields:
                known = list(method.model_fields)
                hint = nearest(knob, known) if known else "; it has none"
                raise ValueError(f"method '{self.name}' has no knob '{knob}'{hint}")
        for choice in self.choices():
            try:
                method.model_validate(choice)
            except ValidationError as error:
                raise ValueError(one_line(error, where=f"method '{self.name}'")) from None
        return self

    def choices(self) -> list[dict[str, Scalar]]:
        """Every combination of the knobs' values, leaving out those that are the default."""
        method = registry.find(self.name)
        axes = [value if isinstance(value, list) else [value] for value in self.knobs.values()]
        chosen = []
        for values in product(*axes):
            knobs = dict(zip(self.knobs, values, strict=True))
            plain = {name: value for name, value in knobs.items() if value != method.model_fields[name].default}
            if plain not in chosen:
                chosen.append(plain)
        return chosen


class StudySpec(Strict):
    """A study: every method at every sparsity with every seed, on one network and one data set.

    `retrain` is the recipe of retraining after a prune; what a study file leaves out of it is as in `recipe`, except
    that its learning rate is a tenth where none is given. The dense baseline is always part of a study. `also` holds
    further settings: data set, model, recipes, methods or sparsities that replace those of the study.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    description: str = ""
    dataset: str
    model: str
    data_dir: str | None = None
    recipe: Recipe = Recipe()
    retrain: Recipe
    methods: list[MethodEntry] = Field(min_length=1)
    sparsities: list[Sparsity] = Field(min_length=1)
    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    resources: Resources = Resources()
    checkpoint_seconds: float = Field(default=60, ge=0)
    also: list["StudySpec"] = []
    published: list[Published] = []

    @property
    def settings(self) -> list["StudySpec"]:
        """The study itself and its further settings."""
        return [self, *self.also]

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, raw: Any) -> Any:
        """Fill the retrain recipe from the training recipe, and further settings from the first."""
        if not isinstance(raw, dict):
            raise ValueError("a study file is a mapping of keys to values")
        raw = {**raw, "also": [_merge(raw, entry) for entry in raw.get("also") or []]}
        recipe, retrain = raw.get("recipe") or {}, raw.get("retrain") or {}
        if not isinstance(recipe, dict) or not isinstance(retrain, dict):
            return raw
        inherited = dict(recipe)
        if retrain.get("schedule", recipe.get("schedule")) != recipe.get("schedule"):
            inherited.pop("milestones", None)
        rate = recipe.get("lr", Recipe.model_fields["lr"].default)
        tenth = {"lr": rate / 10} if isinstance(rate, int | float) else {}
        return {**raw, "recipe": recipe, "retrain": {**inherited, **tenth, **retrain}}

    @field_validator("methods", mode="before")
    @classmethod
    def _entries(cls, raw: Any) -> Any:
        """Bring `all`, names, `{name: knobs}` mappings and lists of both into entries."""
        listed = [raw] if isinstance(raw, str) else raw
        if isinstance(listed, dict) and "name" not in listed:
            listed = [{name: knobs} for name, knobs in listed.items()]
        if not isinstance(listed, list):
            raise ValueError(f"methods is a list of names or a mapping of names to knobs, but got {raw!r}")
        entries: list[Any] = []
        for item in listed:
            if isinstance(item, str):
                entries.append({"name": item})
            elif isinstance(item, dict) and "name" not in item:
                entries += [{"name": name, "knobs": knobs or {}} for name, knobs in item.items()]
            else:
                entries.append(item)
        named = {entry.get("name") for entry in entries if isinstance(entry, dict)}
        rest = [{"name": name} for name in registry.names() if name not in named]
        return [more for entry in entries for more in (rest if entry == {"name": "all"} else [entry])]

    @field_validator("sparsities", "seeds")
    @classmethod
    def _distinct(cls, values: list[Any]) -> list[Any]:
        for index, value in enumerate(values):
            if value in values[:index]:
                raise ValueError(f"{value} is listed twice")
        return values

    @field_validator("model")
    @classmethod
    def _model(cls, name: str) -> str:
        try:
            check_model(name)
        except UnknownModel as error:
            raise ValueError(str(error)) from None
        return name

    def check_data(self) -> None:
        """See that the data sets can be had.

        Raises:
            Mistake: an unknown name, or a folder without it.
        """
        for setting in self.settings:
            try:
                data.check(setting.dataset, setting.data_dir)
            except data.DataError as error:
                raise Mistake(str(error)) from None


_PER_SETTING = {"dataset", "model", "recipe", "retrain", "methods", "sparsities"}


def _merge(raw: dict[str, Any], entry: Any) -> dict[str, Any]:
    """A further setting: what it does not say is as in the study."""
    if not isinstance(entry, dict):
        raise ValueError(f"also is a list of mappings, but got {entry!r}")
    if other := sorted(set(entry) - _PER_SETTING):
        raise ValueError(f"also may change {', '.join(sorted(_PER_SETTING))}, but got '{other[0]}'")
    base = {name: value for name, value in raw.items() if name not in ("also", "published")}
    inner = {name: {**(base.get(name) or {}), **(entry[name] or {})} for name in ("recipe", "retrain") if name in entry}
    return {**base, **entry, **inner}


def presets() -> dict[str, Path]:
    """Study files that come with the project, by name."""
    return {path.stem: path for path in sorted(PRESETS.glob("*.yaml"))}


def read(path: str | Path) -> dict[str, Any]:
    """A study file as it stands, before defaults and checks.

    Raises:
        Mistake: it is missing, or no YAML mapping.
    """
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise Mistake(f"cannot read the study file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Mistake(f"the study file {path} is not UTF-8 text") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Mistake(f"the study file {path} is not YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(raw, dict):
        raise Mistake(f"the study file {path} must be a mapping of keys to values, but is {type(raw).__name__}")
    return raw


def read_preset(name: str) -> dict[str, Any]:
    """A preset as it stands.

    Raises:
        Mistake: there is none of that name.
    """
    if name not in presets():
        raise Mistake(f"no preset '{name}'{nearest(name, list(presets()))}")
    return read(presets()[name])


def override(raw: dict[str, Any], assignment: str) -> None:
    """Set one field of a study, in place: `recipe.epochs=5`, `methods.lottery_ticket.levels=3`.

    Raises:
        Mistake: not of the form key=value, or the path runs through something that has no fields.
    """
    path, equals, text = assignment.partition("=")
    if not equals or not path.strip():
        raise Mistake(f"--set takes key=value, e.g. recipe.epochs=5, but got '{assignment}'")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    *parents, last = path.strip().split(".")
    if parents[:1] == ["methods"] and not isinstance(raw.get("methods"), dict):
        raw["methods"] = _as_mapping(raw.get("methods"), assignment)
    place: Any = raw
    for part in parents:
        if place.get(part) is None:
            place[part] = {}
        place = place[part]
        if not isinstance(place, dict):
            raise Mistake(f"--set {assignment}: '{part}' has no fields")
    place[last] = value


def _as_mapping(methods: Any, assignment: str) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for item in methods if isinstance(methods, list) else [methods]:
        for name, knobs in item.items() if isinstance(item, dict) else [(item, None)]:
            if name in mapping:
                raise Mistake(f"--set {assignment}: method '{name}' is listed twice; edit the study file instead")
            mapping[name] = knobs
    return mapping


def build(raw: dict[str, Any], *, where: str) -> StudySpec:
    """A checked study.

    Raises:
        Mistake: anything in it is wrong; one line with the place, the rule and the nearest fix.
    """
    try:
        return StudySpec.model_validate(raw)
    except ValidationError as error:
        raise Mistake(one_line(error, where=where, model=StudySpec)) from None
