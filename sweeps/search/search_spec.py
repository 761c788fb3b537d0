"""What a search asks for: a search file as a strict model. Imports neither torch nor Ray."""

from collections.abc import Sequence
from functools import cached_property
from math import ceil
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from pruning import registry
from pruning.user_error import UserError, nearest, short
from pruning.validation_errors import describe_validation_error
from sweeps.search.budget import Budget
from sweeps.search.dimension import Configuration, Dimension
from sweeps.search.objective import Objective
from sweeps.search.search_space import (
    MOST_POINTS,
    check_conditions,
    count_grid_points,
    format_configuration,
)
from sweeps.search.strategy import Strategy
from sweeps.study_file.method_entry import check_knobs
from sweeps.study_file.method_path import MethodPath, register_user_methods
from sweeps.study_file.start_fields import Normalisation, Size, Weights
from sweeps.study_file.strict_model import Strict
from sweeps.study_file.study import StudySpec, build_study
from sweeps.study_file.study_fields import Pattern, Patterns, Resources, Seed, Sparsity
from trainables.training.recipe import Number, Recipe
from trainables.trial_spec import Scalar

RECIPES = ("recipe", "retrain")
# Fields of a recipe that may change within a training.
CHANGEABLE = (
    *("batch", "accumulate", "lr", "momentum", "weight_decay", "clip", "ema"),
    *("label_smoothing", "augment"),
)
_STUDY_FIELDS = StudySpec.model_fields


class SearchSpec(Strict):
    """A search: one method on one network and data set, its knobs and recipe fields chosen for
    every sparsity.

    `space` names what is chosen: knobs of the method, or fields of a recipe as `recipe.lr` and
    `retrain.epochs`. What it does not name is as in `knobs`, `recipe` and `retrain`. Candidates
    train with `seed`, which the draws come from, too; what is best is trained anew with
    `confirm_seeds`, and only that sees the test set.
    """

    name: str = _STUDY_FIELDS["name"]  # type: ignore[assignment]
    description: str = _STUDY_FIELDS["description"]  # type: ignore[assignment]
    dataset: str = _STUDY_FIELDS["dataset"]  # type: ignore[assignment]
    model: str = _STUDY_FIELDS["model"]  # type: ignore[assignment]
    data_dir: str | None = _STUDY_FIELDS["data_dir"]  # type: ignore[assignment]
    method_path: MethodPath = Field(
        default=[], description="files or folders with methods of your own"
    )
    method: str = Field(description="the one that is searched")
    knobs: dict[str, Scalar] = Field(default={}, description="those that stay")
    recipe: dict[str, Any] = Field(default={}, description="as in a study; what stays of it")
    retrain: dict[str, Any] = Field(default={}, description="as in a study; what stays of it")
    image_size: Size | None = _STUDY_FIELDS["image_size"]  # type: ignore[assignment]
    weights: Weights = _STUDY_FIELDS["weights"]  # type: ignore[assignment]
    normalise: Normalisation | None = _STUDY_FIELDS["normalise"]  # type: ignore[assignment]
    exclude: Patterns = _STUDY_FIELDS["exclude"]  # type: ignore[assignment]
    layer_sparsity: dict[Pattern, Sparsity] = _STUDY_FIELDS["layer_sparsity"]  # type: ignore[assignment]
    sparsities: list[Sparsity] = Field(
        min_length=1, description="searched side by side, each for itself"
    )
    space: dict[str, Dimension] = Field(
        min_length=1, max_length=50, description="what is chosen: dimensions by name"
    )
    strategy: Strategy = Field(
        default=Strategy(), description="how; also grid, random, tpe, asha, median, population"
    )
    objective: Objective = Field(default=Objective(), description="what for; also accuracy, pareto")
    budget: Budget = Field(default=Budget(), description="what it may spend")
    seed: Seed = Field(default=0, description="of the draws, and of the candidates' training")
    confirm_seeds: list[Seed] = Field(
        default=[1, 2, 3, 4, 5], min_length=1, description="of the best, trained anew"
    )
    resources: Resources = _STUDY_FIELDS["resources"]  # type: ignore[assignment]
    checkpoint_seconds: Number = _STUDY_FIELDS["checkpoint_seconds"]  # type: ignore[assignment]

    @field_validator("knobs", mode="plain")
    @classmethod
    def _values(cls, raw: Any) -> Any:
        return check_knobs({} if raw is None else raw, axes=False)

    @model_validator(mode="after")
    def _searchable(self) -> Self:
        self._check_names()
        check_conditions(self.space)
        self._check_strategy()
        if self.seed in self.confirm_seeds:
            raise ValueError(
                f"confirm_seeds must not hold seed {self.seed}, which the choice was made with; "
                "choose another"
            )
        for configuration in self.corners:
            self._check_point(configuration)
        return self

    def _check_names(self) -> None:
        """Pass if the space names knobs of the method and fields of recipes that can be searched.

        Raises:
            ValueError: it does not.
        """
        try:
            method = registry.find_method_class(self.method)
        except UserError as error:
            raise ValueError(str(error)) from None
        for name in self.space:
            part, dot, field = name.partition(".")
            known = list(Recipe.model_fields) if dot else list(method.model_fields)
            if dot and part not in RECIPES:
                raise ValueError(f"space: '{name}' is no knob, recipe.FIELD or retrain.FIELD")
            if (field if dot else name) not in known:
                what = "a recipe" if dot else f"method '{self.method}'"
                raise ValueError(
                    f"space: {what} has no '{field or name}'{nearest(field or name, known)}"
                )
            if self.strategy.draw == "population" and (not dot or field not in CHANGEABLE):
                raise ValueError(
                    "space: a population changes recipe fields as it trains "
                    f"({', '.join(CHANGEABLE)}), but got '{name}'"
                )
            if dot and field in ("hold_out", "record_best_test"):
                raise ValueError(
                    f"space: {name} cannot be searched: "
                    "candidates are measured on validation data only"
                )

    def _check_strategy(self) -> None:
        """Pass if strategy, objective, budget and space go together.

        Raises:
            ValueError: they do not.
        """
        strategy, objective, budget = self.strategy, self.objective, self.budget
        if strategy.draw == "grid" and (points := count_grid_points(self.space)) > MOST_POINTS:
            raise ValueError(f"a grid must have at most {MOST_POINTS:,} points, but got {points:,}")
        if strategy.draw != "grid" and budget.trials is None and budget.seconds is None:
            raise ValueError("budget: a search without a grid needs trials, hours or money")
        if strategy.draw == "population" and budget.trials is None:
            raise ValueError("budget: a population needs trials, its members at all sparsities")
        limited = objective.max_effective_macs is not None
        if objective.pareto and (limited or strategy.stop != "none"):
            raise ValueError(
                "pareto keeps cheap candidates of low accuracy: "
                "no max_effective_macs and no stop with it"
            )
        recipes = {name.partition(".")[0] for name in self.space}
        if strategy.draw == "population" and len(recipes) > 1:
            raise ValueError("space: a population changes either recipe or retrain, not both")

    def _check_point(self, configuration: Configuration) -> None:
        study = self.study_of(self.sparsities[0], configuration, seeds=[self.seed])
        for name in RECIPES:
            recipe: Recipe = getattr(study, name)
            if not recipe.hold_out:
                raise ValueError(
                    f"{name}.hold_out must be true: a search chooses by validation data"
                )
            if recipe.record_best_test:
                raise ValueError(
                    f"{name}.record_best_test must be false: a search must not read the test set"
                )

    @property
    def corners(self) -> list[Configuration]:
        """The first point, and those that differ from it in one dimension: its ends, or all its
        choices."""
        sides = {
            name: dimension.choices if dimension.choices is not None else list(dimension.ends)
            for name, dimension in self.space.items()
        }
        first = {name: side[0] for name, side in sides.items()}
        others = [{**first, name: value} for name, side in sides.items() for value in side[1:]]
        return [
            {name: value for name, value in point.items() if self.space[name].applies(point)}
            for point in [first, *others]
        ]

    def study_of(
        self,
        sparsity: float,
        configuration: Configuration,
        *,
        seeds: list[int],
        changes: Sequence[Any] = (),
    ) -> StudySpec:
        """The study of one configuration at one sparsity; `changes` are those of the recipe that is
        searched.

        Raises:
            UserError: the configuration breaks a rule of the method or of a recipe.
        """
        parts: dict[str, dict[str, Any]] = {
            "": dict(self.knobs),
            "recipe": dict(self.recipe),
            "retrain": dict(self.retrain),
        }
        for name, value in configuration.items():
            part, dot, field = name.partition(".")
            parts[part if dot else ""][field if dot else name] = value
        if changes:
            parts[self.changing_recipe]["changes"] = list(changes)
        raw = {
            "name": self.name,
            "dataset": self.dataset,
            "model": self.model,
            "data_dir": self.data_dir,
            "method_path": self.method_path,
            "recipe": parts["recipe"],
            "retrain": parts["retrain"],
            "methods": [{self.method: parts[""]}],
            "sparsities": [sparsity],
            "seeds": seeds,
            **self.start_fields(),
            "exclude": self.exclude,
            "layer_sparsity": self.layer_sparsity,
            "resources": self.resources.model_dump(),
            "checkpoint_seconds": self.checkpoint_seconds,
        }
        return build_study(raw, where=format_configuration(configuration))

    def start_fields(self) -> dict[str, Any]:
        """What the trials begin with, as fields of a study."""
        fields = self.model_dump(mode="json", include={"image_size", "weights", "normalise"})
        return {name: value for name, value in fields.items() if value is not None}

    @property
    def changing_recipe(self) -> str:
        """The recipe that a population changes."""
        return next(iter(self.space)).partition(".")[0]

    @cached_property
    def most_epochs(self) -> int:
        """Epochs that the longest candidate trains itself.

        Raises:
            UserError: see `plan.make_plan`.
        """
        from sweeps.planning.plan import make_plan

        plans = [
            make_plan(self.study_of(self.sparsities[0], point, seeds=[self.seed]), test=False)
            for point in self.corners
        ]
        return max(
            trial.epochs
            for plan in plans
            for trial in plan.trials
            if trial.spec.method == self.method
        )

    @property
    def interval(self) -> int:
        """Epochs between two generations of a population."""
        return self.strategy.interval or max(1, ceil(self.most_epochs / 4))


def build_search(raw: dict[str, Any], *, where: str) -> SearchSpec:
    """A checked search.

    Raises:
        UserError: anything in it is wrong; one line with the place, the rule and the nearest fix.
    """
    for name in RECIPES:
        if raw.get(name) is not None and not isinstance(raw[name], dict):
            raise UserError(
                f"{where}: {name}: a recipe is a mapping of keys to values, "
                f"but got {short(raw[name])}"
            )
    register_user_methods(raw.get("method_path"), where=where)
    try:
        return SearchSpec.model_validate(
            {key: value for key, value in raw.items() if value is not None}
        )
    except ValidationError as error:
        raise UserError(describe_validation_error(error, where=where, model=SearchSpec)) from None
