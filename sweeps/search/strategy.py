"""The strategy of a search: where points come from, what ends candidates early, and which run
first."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pruning.user_error import nearest
from sweeps.study_file.strict_model import Strict
from trainables.training.recipe import Count, Number

STRATEGIES: dict[str, dict[str, str]] = {  # by their name, as in `--strategy`
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
        if raw not in STRATEGIES:
            raise ValueError(f"no strategy '{raw}'{nearest(raw, list(STRATEGIES))}")
        return STRATEGIES[raw]

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
