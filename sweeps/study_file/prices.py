"""What devices cost by the hour."""

from typing import Annotated

from pydantic import Field

from sweeps.study_file.strict_model import Strict
from trainables.training.recipe import Number


class Prices(Strict):
    """Money for an hour of a device: `per_hour` by name as in the table of devices, "cpu" for one
    core of a CPU."""

    currency: str = Field(
        default="USD", min_length=1, max_length=20, description="printed behind amounts"
    )
    per_hour: dict[str, Annotated[Number, Field(ge=0)]] = Field(
        default={}, max_length=100, description="by the name of the GPU; cpu: one core"
    )

    def price_of(self, device: str) -> float | None:
        """The price of an hour; None where there is none. A device may call itself more, e.g.
        "Tesla T4"."""
        name = match_device(device, list(self.per_hour))
        return None if name is None else self.per_hour[name]

    def describe_amount(self, money: float) -> str:
        """An amount in words, e.g. "0.42 USD"."""
        return f"{money:,.2f} {self.currency}"


def match_device(device: str, names: list[str]) -> str | None:
    """The name that a device goes by: the longest of `names` that is part of it as it calls itself
    ("Tesla T4")."""
    matching = [name for name in names if name.lower() in device.lower()]
    return max(matching, key=len, default=None)
