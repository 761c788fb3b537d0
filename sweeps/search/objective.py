"""The objective of a search: accuracy, accuracy within a cost, or every best trade of the two."""

from typing import Any

from pydantic import Field, model_validator

from sweeps.study_file.strict_model import Strict
from trainables.training.recipe import Number


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
