"""What the user asks for: a study file as a strict model, with presets beside it. Imports neither
torch nor Ray."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticSerializationError

from models.model_registry import check as check_model
from pruning import registry
from pruning.user_error import UserError, nearest, short
from sweeps.study_file import yaml_reader
from sweeps.study_file.method_entry import LARGEST, MethodEntry, MethodPath, Strict, check_knobs
from sweeps.study_file.prices import Prices
from sweeps.validation_errors import one_line
from trainables.data import prepared
from trainables.training.recipe import Count, Number, Recipe
from trainables.trial_spec import Scalar

PRESETS = Path(__file__).parents[1] / "presets"


def _is_sparsity(value: float) -> float:
    if not 0 <= value < 1:
        hint = f": for {value:g} % write {value / 100:g}" if 2 <= value < 100 else ""
        raise ValueError(f"sparsity must be in [0, 1), but got {value:g}{hint}")
    return value


Sparsity = Annotated[Number, AfterValidator(_is_sparsity)]
Seed = Annotated[Count, Field(ge=0, le=LARGEST)]


class Resources(Strict):
    """What one trial takes of the cluster. Fractions of a GPU let several trials share it."""

    cpus_per_trial: Number = Field(default=1, gt=0, le=10_000, description="cores, and so threads")
    gpus_per_trial: Number = Field(
        default=0, ge=0, le=1000, description="0.25: four trials on a GPU"
    )

    @model_validator(mode="after")
    def _as_ray_counts(self) -> Self:
        for name, value in self:
            if value != round(value, 4):
                raise ValueError(f"{name} must have at most 4 decimals, but got {value:g}")
        if self.gpus_per_trial > 1 and self.gpus_per_trial % 1:
            raise ValueError(
                f"gpus_per_trial must be whole above 1, but got {self.gpus_per_trial:g}"
            )
        return self


class Published(Strict):
    """A number from the literature that the tables show beside ours."""

    dataset: str = Field(description="as in the study")
    model: str = Field(description="as in the study")
    method: str = Field(description="by the name it has here")
    knobs: dict[str, Scalar] = Field(default={}, description="of the method, where not the default")
    sparsity: Sparsity = Field(description="the fraction of zeros that the number is for")
    metric: str = Field(default="test_top1", description="a column of the rows")
    value: Number = Field(description="the number, in the unit of that column")
    source: str = Field(description="the paper or repository it stands in")
    note: str = Field(default="", description="what differs there, e.g. best epoch")

    @field_validator("knobs", mode="plain")
    @classmethod
    def _values(cls, raw: Any) -> Any:
        return check_knobs(raw, axes=False)


class StudySpec(Strict):
    """A study: every method at every sparsity with every seed, on one network and one data set.

    `retrain` is the recipe of retraining after a prune; what a study file leaves out of it is as in
    `recipe`, except that its learning rate is a tenth where none is given. The dense baseline is
    always part of a study. `also` holds further settings: data set, model, recipes, methods or
    sparsities that replace those of the study. `keep_networks` says whether the network of every
    measured level stays in the study directory, to be exported.
    """

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100, description="names its directory"
    )
    description: str = Field(default="", description="a sentence for lists and the report")
    dataset: str = Field(description="a data set of the project, or a folder in data_dir")
    model: str = Field(
        description="a name of the project, torchvision:NAME, timm:NAME or package.module:function"
    )
    data_dir: str | None = Field(default=None, description="folder that holds data sets in Parquet")
    recipe: Recipe = Field(
        default=Recipe(), description="how the dense network is trained, and any in full"
    )
    retrain: Recipe = Field(
        description="how a pruned one is trained on; as recipe, at a tenth of its lr"
    )
    method_path: MethodPath = Field(
        default=[], description="files or folders with methods of your own"
    )
    methods: list[MethodEntry] = Field(
        min_length=1, max_length=100, description="names, or names with knobs; all"
    )
    sparsities: list[Sparsity] = Field(
        min_length=1, description="fractions of zeros, each in [0, 1)"
    )
    seeds: list[Seed] = Field(min_length=1, description="everything is done once for each")
    resources: Resources = Field(
        default=Resources(), description="what a trial takes of the cluster"
    )
    prices: Prices = Field(default=Prices(), description="what an hour of a device costs")
    checkpoint_seconds: Number = Field(
        default=60, ge=0, description="between two checkpoints of a trial"
    )
    keep_networks: Literal["none", "all"] = Field(
        default="none", description="keep what was measured, for export"
    )
    also: list["StudySpec"] = Field(
        default=[], max_length=100, description="further settings: what differs in them"
    )
    published: list[Published] = Field(
        default=[], description="numbers of papers, shown beside ours"
    )

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
        also = [] if raw.get("also") is None else raw["also"]
        if not isinstance(also, list) or len(also) > 100:
            raise ValueError(f"also is a list of at most 100 mappings, but got {short(also)}")
        recipe, retrain = _mapping(raw, "recipe"), _mapping(raw, "retrain")
        raw = {**raw, "also": [_merge(raw, entry) for entry in also]}
        inherited = dict(recipe)
        if retrain.get("schedule", recipe.get("schedule")) != recipe.get("schedule"):
            inherited.pop("milestones", None)
        inherited.pop("changes", None)  # they belong to one training
        tenth = _tenth(recipe.get("lr", Recipe.model_fields["lr"].default))
        return {**raw, "recipe": recipe, "retrain": {**inherited, **tenth, **retrain}}

    @field_validator("methods", mode="before")
    @classmethod
    def _entries(cls, raw: Any) -> Any:
        """Bring `all`, names, `{name: knobs}` mappings and lists of both into entries."""
        listed = [raw] if isinstance(raw, str) else raw
        if isinstance(listed, dict) and "name" not in listed:
            listed = [{name: knobs} for name, knobs in listed.items()]
        if not isinstance(listed, list):
            raise ValueError(
                f"methods is a list of names or a mapping of names to knobs, but got {short(raw)}"
            )
        entries: list[Any] = []
        for item in listed:
            if isinstance(item, str):
                entries.append({"name": item})
            elif isinstance(item, dict) and "name" not in item:
                entries += [{"name": name, "knobs": knobs or {}} for name, knobs in item.items()]
            else:
                entries.append(item)
        named = [entry.get("name") for entry in entries if isinstance(entry, dict)]
        rest = [{"name": name} for name in registry.names() if name not in named]
        every = ({"name": "all"}, {"name": "all", "knobs": {}})
        return [more for entry in entries for more in (rest if entry in every else [entry])]

    @field_validator("sparsities", "seeds")
    @classmethod
    def _distinct(cls, values: list[Any]) -> list[Any]:
        seen = set()
        for value in values:
            if value in seen:
                raise ValueError(f"{value} is listed twice")
            seen.add(value)
        return values

    @field_validator("model")
    @classmethod
    def _model(cls, name: str) -> str:
        try:
            check_model(name)
        except UserError as error:
            raise ValueError(str(error)) from None
        return name

    @model_validator(mode="after")
    def _dataset(self) -> Self:
        prepared.check_name(self.dataset, known=self.data_dir is None)
        return self

    def check_data(self) -> None:
        """See that the data sets can be had.

        Raises:
            UserError: there is no such folder, or it lacks a data set.
        """
        for setting in self.settings:
            try:
                prepared.check(setting.dataset, setting.data_dir)
            except UserError as error:
                raise UserError(str(error)) from None


_PER_SETTING = {"dataset", "model", "recipe", "retrain", "methods", "sparsities"}


def _mapping(raw: dict[str, Any], name: str) -> dict[str, Any]:
    """A recipe as it stands; nothing in it where it is not there."""
    if raw.get(name) is None:
        return {}
    if not isinstance(raw[name], dict):
        raise ValueError(
            f"{name}: a recipe is a mapping of keys to values, but got {short(raw[name])}"
        )
    return dict(raw[name])


def _merge(raw: dict[str, Any], entry: Any) -> dict[str, Any]:
    """A further setting: what it does not say is as in the study."""
    if not isinstance(entry, dict):
        raise ValueError(f"also is a list of mappings, but got {short(entry)}")
    if other := sorted(str(name) for name in entry if name not in _PER_SETTING):
        raise ValueError(f"also may change {', '.join(sorted(_PER_SETTING))}, but got '{other[0]}'")
    base = {name: value for name, value in raw.items() if name not in ("also", "published")}
    inner = {
        name: {**_mapping(base, name), **_mapping(entry, name)}
        for name in ("recipe", "retrain")
        if name in entry
    }
    return {**base, **entry, **inner}


def presets() -> dict[str, Path]:
    """Study files that come with the project, by name."""
    return {path.stem: path for path in sorted(PRESETS.glob("*.yaml"))}


def read(path: str | Path) -> dict[str, Any]:
    """A study file as it stands, before defaults and checks.

    Raises:
        UserError: it is missing, or no YAML mapping.
    """
    try:
        text = yaml_reader.read(path)
    except OSError as error:
        raise UserError(f"cannot read the study file {path}: {error.strerror}") from None
    except UserError as error:
        raise UserError(f"cannot read the study file {path}: {error}") from None
    try:
        raw = yaml_reader.parse(text)
    except UserError as error:
        raise UserError(f"the study file {path} is not YAML: {error}") from None
    if not isinstance(raw, dict):
        raise UserError(
            f"the study file {path} must be a mapping of keys to values, but {_KINDS.get(type(raw), 'is one value')}"
        )
    return raw


_KINDS: dict[type, str] = {type(None): "is empty", list: "is a list", str: "is a text"}


def read_preset(name: str) -> dict[str, Any]:
    """A preset as it stands.

    Raises:
        UserError: there is none of that name.
    """
    if name not in presets():
        raise UserError(f"no preset '{name}'{nearest(name, list(presets()))}")
    return read(presets()[name])


def _tenth(rate: Any) -> dict[str, float]:
    """A tenth of a learning rate, which may still be the text that YAML makes of `1e-1`; nothing of
    what is no rate."""
    with suppress(TypeError, ValueError, OverflowError):
        return {"lr": float(rate) / 10}
    return {}


def build(raw: dict[str, Any], *, where: str) -> StudySpec:
    """A checked study.

    Raises:
        UserError: anything in it is wrong; one line with the place, the rule and the nearest fix.
    """
    try:
        spec = StudySpec.model_validate(raw)
        spec.model_dump_json()
    except ValidationError as error:
        raise UserError(one_line(error, where=where, model=StudySpec)) from None
    except (
        UnicodeEncodeError,
        PydanticSerializationError,
    ) as error:  # "\ud800", or a file name that is not UTF-8
        raise UserError(f"{where}: text must be whole characters: {error}") from None
    return spec
