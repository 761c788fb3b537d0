"""What a search asks for: a search file as a strict model, with presets beside it. Imports neither
torch nor Ray."""

from collections.abc import Sequence
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from pruning import registry
from pruning.user_error import UserError, nearest, short
from sweeps.search import search_space
from sweeps.search.search_space import Configuration, Dimension
from sweeps.study_file import study
from sweeps.study_file.method_entry import MethodPath, Strict, check_knobs
from sweeps.study_file.study import Resources, Seed, Sparsity, StudySpec
from sweeps.validation_errors import one_line
from trainables.training.recipe import Count, Number, Recipe
from trainables.trial_spec import Scalar

PRESETS = Path(__file__).parent / "presets"
CHANGEABLE = (
    "batch",
    "lr",
    "momentum",
    "weight_decay",
    "label_smoothing",
    "augment",
)  # within a training
NAMED: dict[str, dict[str, str]] = {
    "grid": {"draw": "grid"},
    "random": {"draw": "random"},
    "tpe": {"draw": "tpe"},
    "asha": {"draw": "random", "stop": "asha"},
    "median": {"draw": "random", "stop": "median"},
    "population": {"draw": "population"},
}


class Strategy(Strict):
    """How the space is searched."""

    draw: Literal["grid", "random", "tpe", "population"] = Field(
        default="random", description="where points come from"
    )
    stop: Literal["none", "asha", "median"] = Field(
        default="none", description="what ends candidates early"
    )
    grace: Count = Field(default=1, ge=1, description="epochs that every candidate may train")
    factor: Number = Field(
        default=4, gt=1, le=100, description="of ASHA: one in so many goes on at each rung"
    )
    brackets: Count = Field(
        default=1, ge=1, le=10, description="of ASHA: so many, with the first rung ever later"
    )
    order: Literal["drawn", "flow", "snip", "tenth"] = Field(
        default="drawn", description="score first, run best first"
    )
    pool: Count | None = Field(
        default=None, ge=2, le=10_000, description="how many are scored at each sparsity"
    )
    interval: Count | None = Field(
        default=None, ge=1, description="epochs of a generation; null: a quarter of all"
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, raw: Any) -> Any:
        if not isinstance(raw, str):
            return raw
        if raw not in NAMED:
            raise ValueError(f"no strategy '{raw}'{nearest(raw, list(NAMED))}")
        return NAMED[raw]

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.order != "drawn" and self.draw not in ("grid", "random"):
            raise ValueError(f"order: {self.order} needs draw: grid or random, but got {self.draw}")
        if self.pool is not None and (self.order == "drawn" or self.draw != "random"):
            raise ValueError("pool belongs to draw: random with an order by flow, snip or tenth")
        if self.draw == "population" and self.stop != "none":
            raise ValueError(
                f"a population replaces its worst itself: stop must be none, but got {self.stop}"
            )
        return self


class Objective(Strict):
    """What is looked for: the best validation accuracy; that within a cost; or every best trade of
    the two."""

    max_effective_macs: Number | None = Field(
        default=None, gt=0, description="with kept weights, for one image"
    )
    pareto: bool = Field(
        default=False, description="keep all than which none is both more accurate and cheaper"
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, raw: Any) -> Any:
        if raw not in ("accuracy", "pareto"):
            return raw
        return {"pareto": raw == "pareto"}


class Budget(Strict):
    """What a search may spend, over all sparsities: candidates, device hours, or money at a price
    per device hour."""

    trials: Count | None = Field(default=None, ge=1, le=100_000, description="candidates")
    hours: Number | None = Field(default=None, gt=0, description="of devices")
    money: Number | None = Field(
        default=None, gt=0, description="as many hours as it buys at the price"
    )
    price: Number | None = Field(default=None, gt=0, description="of a device hour")

    @model_validator(mode="after")
    def _priced(self) -> Self:
        if self.money is not None and self.price is None:
            raise ValueError("money needs a price per device hour")
        return self

    @property
    def seconds(self) -> float | None:
        """The device seconds that hours and money allow."""
        limits = [self.hours] if self.hours is not None else []
        limits += [self.money / self.price] if self.money is not None and self.price else []
        return 3600 * min(limits) if limits else None


class SearchSpec(Strict):
    """A search: one method on one network and data set, its knobs and recipe fields chosen for
    every sparsity.

    `space` names what is chosen: knobs of the method, or fields of a recipe as `recipe.lr` and
    `retrain.epochs`. What it does not name is as in `knobs`, `recipe` and `retrain`. Candidates
    train with `seed`, which the draws come from, too; what is best is trained anew with
    `confirm_seeds`, and only that sees the test set.
    """

    name: str = StudySpec.model_fields["name"]  # type: ignore[assignment]
    description: str = StudySpec.model_fields["description"]  # type: ignore[assignment]
    dataset: str = StudySpec.model_fields["dataset"]  # type: ignore[assignment]
    model: str = StudySpec.model_fields["model"]  # type: ignore[assignment]
    data_dir: str | None = StudySpec.model_fields["data_dir"]  # type: ignore[assignment]
    method_path: MethodPath = Field(
        default=[], description="files or folders with methods of your own"
    )
    method: str = Field(description="the one that is searched")
    knobs: dict[str, Scalar] = Field(default={}, description="those that stay")
    recipe: dict[str, Any] = Field(default={}, description="as in a study; what stays of it")
    retrain: dict[str, Any] = Field(default={}, description="as in a study; what stays of it")
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
    resources: Resources = StudySpec.model_fields["resources"]  # type: ignore[assignment]
    checkpoint_seconds: Number = StudySpec.model_fields["checkpoint_seconds"]  # type: ignore[assignment]

    @field_validator("knobs", mode="plain")
    @classmethod
    def _values(cls, raw: Any) -> Any:
        return check_knobs({} if raw is None else raw, axes=False)

    @model_validator(mode="after")
    def _searchable(self) -> Self:
        self._check_names()
        search_space.check_conditions(self.space)
        strategy, objective, budget = self.strategy, self.objective, self.budget
        if strategy.draw == "grid" and search_space.count(self.space) > search_space.MOST:
            raise ValueError(
                f"a grid must have at most {search_space.MOST:,} points, but got {search_space.count(self.space):,}"
            )
        if strategy.draw != "grid" and budget.trials is None and budget.seconds is None:
            raise ValueError("budget: a search without a grid needs trials, hours or money")
        if strategy.draw == "population" and budget.trials is None:
            raise ValueError("budget: a population needs trials, its members at all sparsities")
        if objective.pareto and (
            objective.max_effective_macs is not None or strategy.stop != "none"
        ):
            raise ValueError(
                "pareto keeps cheap candidates of low accuracy: no max_effective_macs and no stop with it"
            )
        if (
            strategy.draw == "population"
            and len({name.partition(".")[0] for name in self.space}) > 1
        ):
            raise ValueError("space: a population changes either recipe or retrain, not both")
        if self.seed in self.confirm_seeds:
            raise ValueError(
                f"confirm_seeds must not hold seed {self.seed}, which the choice was made with; choose another"
            )
        for configuration in self.corners:
            self._check_point(configuration)
        return self

    def _check_names(self) -> None:
        try:
            method = registry.find(self.method)
        except UserError as error:
            raise ValueError(str(error)) from None
        for name in self.space:
            part, dot, field = name.partition(".")
            known = list(Recipe.model_fields) if dot else list(method.model_fields)
            if dot and part not in ("recipe", "retrain"):
                raise ValueError(f"space: '{name}' is no knob, recipe.FIELD or retrain.FIELD")
            if (field if dot else name) not in known:
                what = "a recipe" if dot else f"method '{self.method}'"
                raise ValueError(
                    f"space: {what} has no '{field or name}'{nearest(field or name, known)}"
                )
            if self.strategy.draw == "population" and (not dot or field not in CHANGEABLE):
                fields = ", ".join(CHANGEABLE)
                raise ValueError(
                    f"space: a population changes recipe fields as it trains ({fields}), but got '{name}'"
                )
            if dot and field in ("hold_out", "record_best_test"):
                raise ValueError(
                    f"space: {name} cannot be searched: candidates are measured on validation data only"
                )

    def _check_point(self, configuration: Configuration) -> None:
        found = self.study(self.sparsities[0], configuration, seeds=[self.seed])
        for name in ("recipe", "retrain"):
            recipe: Recipe = getattr(found, name)
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
            n: one.choices if one.choices is not None else list(one.ends)
            for n, one in self.space.items()
        }
        first = {name: side[0] for name, side in sides.items()}
        found = [
            first,
            *({**first, name: value} for name, side in sides.items() for value in side[1:]),
        ]
        return [{n: v for n, v in one.items() if self.space[n].applies(one)} for one in found]

    def study(
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
            parts[self.changing]["changes"] = list(changes)
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
            "resources": self.resources.model_dump(),
            "checkpoint_seconds": self.checkpoint_seconds,
        }
        return study.build(raw, where=search_space.tell(configuration))

    @property
    def changing(self) -> str:
        """The recipe that a population changes."""
        return next(iter(self.space)).partition(".")[0]

    @cached_property
    def longest(self) -> int:
        """Epochs that the longest candidate trains itself.

        Raises:
            UserError: see `plan.make_plan`.
        """
        from sweeps.planning.plan import make_plan

        plans = [
            make_plan(self.study(self.sparsities[0], one, seeds=[self.seed]), test=False)
            for one in self.corners
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
        return self.strategy.interval or max(1, ceil(self.longest / 4))


def presets() -> dict[str, Path]:
    """Search files that come with the project, by name."""
    return {path.stem: path for path in sorted(PRESETS.glob("*.yaml"))}


def read_preset(name: str) -> dict[str, Any]:
    """A preset as it stands.

    Raises:
        UserError: there is none of that name.
    """
    if name not in presets():
        raise UserError(f"no search preset '{name}'{nearest(name, list(presets()))}")
    return study.read(presets()[name])


def build(raw: dict[str, Any], *, where: str) -> SearchSpec:
    """A checked search.

    Raises:
        UserError: anything in it is wrong; one line with the place, the rule and the nearest fix.
    """
    for name in ("recipe", "retrain"):
        if raw.get(name) is not None and not isinstance(raw[name], dict):
            raise UserError(
                f"{where}: {name}: a recipe is a mapping of keys to values, but got {short(raw[name])}"
            )
    try:
        return SearchSpec.model_validate(
            {key: value for key, value in raw.items() if value is not None}
        )
    except ValidationError as error:
        raise UserError(one_line(error, where=where, model=SearchSpec)) from None
