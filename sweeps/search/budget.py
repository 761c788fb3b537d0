"""The budget of a search: candidates, device hours, or money."""

from typing import Self

from pydantic import Field, model_validator

from sweeps.study_file.strict_model import Strict
from trainables.training.recipe import Count, Number


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
