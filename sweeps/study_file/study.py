"""What the user asks for: a study file as a strict model. Imports neither torch nor Ray."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticSerializationError

from models.model_registry import MODELS, check_model_name
from pruning import registry
from pruning.entry_points import find_entry_point, list_entry_points
from pruning.user_error import UserError
from pruning.validation_errors import describe_validation_error
from sweeps.study_file.inherited_fields import SETTINGS, fill_inherited_fields
from sweeps.study_file.method_entry import MethodEntry, list_entries
from sweeps.study_file.method_path import MethodPath, register_user_methods
from sweeps.study_file.prices import Prices
from sweeps.study_file.rank_checks import check_ranks
from sweeps.study_file.start_fields import Normalisation, Size, Weights
from sweeps.study_file.strict_model import Strict
from sweeps.study_file.study_fields import (
    OneName,
    Pattern,
    Patterns,
    Published,
    Resources,
    Seed,
    Sparsity,
    StudyName,
    refuse_count,
)
from trainables.data import catalog
from trainables.training.recipe import Number, Recipe


class StudySpec(Strict):
    """A study: every method at every sparsity with every seed, on one network and one data set.

    `retrain` is the recipe of retraining after a prune; what a study file leaves out of it is as in
    `recipe`, except that its learning rate is a tenth where none is given. The dense baseline is
    always part of a study. `also` holds further settings: data set, model, recipes, methods or
    sparsities that replace those of the study. `exclude` and `layer_sparsity` choose layers: those
    that are left alone, and those with a sparsity of their own in place of the study's; sparsity is
    then over the weights that are not excluded. `keep_networks` says whether the network of every
    measured level stays in the study directory, to be exported. `weights` are trained weights that
    every trial begins with; they bring their own `normalise`, where nothing else is said.
    """

    name: StudyName = Field(description="names its directory")
    description: str = Field(default="", description="a sentence for lists and the report")
    dataset: OneName = Field(description="a data set of the project, or a folder in data_dir")
    model: OneName = Field(
        description="a name of the project, torchvision:NAME, timm:NAME or package.module:function"
    )
    data_dir: str | None = Field(
        default=None, description="folder with data sets: images by class, or Parquet"
    )
    image_size: Size | None = Field(
        default=None, description="height and width to which images are brought"
    )
    weights: Weights = Field(
        default=None, description="trained weights to begin with; random ones without"
    )
    normalise: Normalisation | None = Field(
        default=None, description="mean and std of images; those of the weights, else of the data"
    )
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
    seeds: Annotated[list[Seed], BeforeValidator(refuse_count)] = Field(
        min_length=1, description="everything is done once for each"
    )
    exclude: Patterns = Field(
        default=[], description="layers that no method prunes, by name or pattern; first, last"
    )
    layer_sparsity: dict[Pattern, Sparsity] = Field(
        default={}, max_length=1000, description="sparsities of layers, by name or pattern"
    )
    resources: Resources = Field(
        default=Resources(), description="what a trial takes of the cluster"
    )
    prices: Prices = Field(default=Prices(), description="what an hour of a device costs")
    checkpoint_seconds: Number = Field(
        default=60, ge=0, description="between two checkpoints of a trial"
    )
    keep_networks: Literal["none", "all"] = Field(
        default="none", description="save what was measured, for export"
    )
    also: list["StudySpec"] = Field(
        default=[], max_length=SETTINGS, description="further settings: what differs in them"
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
        return fill_inherited_fields(raw)

    @field_validator("methods", mode="before")
    @classmethod
    def _entries(cls, raw: Any) -> Any:
        """Bring `all`, names, `{name: knobs}` mappings and lists of both into entries. `all` stands
        for the methods that are not named, without those that must be."""
        entries = list_entries(raw)
        named = [entry.get("name") for entry in entries if isinstance(entry, dict)]
        every = ({"name": "all"}, {"name": "all", "knobs": {}})
        return [
            more for entry in entries for more in (_list_rest(named) if entry in every else [entry])
        ]

    @field_validator("methods")
    @classmethod
    def _distinct_methods(cls, entries: list[MethodEntry]) -> list[MethodEntry]:
        for number, entry in enumerate(entries):
            if entry in entries[:number]:
                knobs = " with equal knobs" if entry.knobs else ""
                raise ValueError(f"'{entry.name}' is listed twice{knobs}")
        return entries

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
        name = find_entry_point("networks", name, built_in=name in MODELS) or name
        check_model_name(name)
        return name

    @model_validator(mode="after")
    def _choices_of_layers(self) -> Self:
        """Settings that tables and figures hold apart by nothing else cannot differ in them."""
        chosen: dict[str, tuple[set[str], dict[str, float]]] = {}
        for setting in self.settings:
            recipe = setting.recipe.non_default_json()
            own = set(setting.exclude), setting.layer_sparsity
            place = f"{setting.model} on {setting.dataset}"
            if chosen.setdefault(f"{place} {recipe}", own) != own:
                raise ValueError(
                    f"exclude and layer_sparsity must be the same in all settings with {place} and "
                    "one recipe; make two studies of them"
                )
        return self

    @model_validator(mode="after")
    def _recipes_fit_ranks(self) -> Self:
        check_ranks(self.resources, {"recipe": self.recipe, "retrain": self.retrain})
        return self

    @model_validator(mode="after")
    def _dataset(self) -> Self:
        catalog.check_data_set_name(self.dataset, known=self.data_dir is None)
        return self

    def check_data(self) -> None:
        """See that the data sets can be had.

        Raises:
            UserError: there is no such folder, or it lacks a data set.
        """
        for setting in self.settings:
            catalog.check_data_set(setting.dataset, setting.data_dir)


def _list_rest(named: list[Any]) -> list[dict[str, Any]]:
    """An entry for each method that `all` stands for beside those that are named; those of other
    installed packages are named, so that a study file means the same on every machine."""
    return [
        {"name": name}
        for name in registry.list_methods()
        if name not in [*named, *list_entry_points("methods")]
        and registry.find_method_class(name).in_all
    ]


def build_study(raw: dict[str, Any], *, where: str) -> StudySpec:
    """A checked study.

    Raises:
        UserError: anything in it is wrong; one line with the place, the rule and the nearest fix.
    """
    register_user_methods(raw.get("method_path"), where=where)
    try:
        spec = StudySpec.model_validate(raw)
        spec.model_dump_json()
    except ValidationError as error:
        raise UserError(describe_validation_error(error, where=where, model=StudySpec)) from None
    except (
        UnicodeEncodeError,
        PydanticSerializationError,
    ) as error:  # "\ud800", or a file name that is not UTF-8
        raise UserError(f"{where}: text must be whole characters: {error}") from None
    return spec
