"""What a study has cost so far, and what is to come at the same rate."""

from collections import defaultdict
from collections.abc import Mapping

from sweeps.estimate.devices import hours_unit, name_in_table
from sweeps.planning.trial_status import DeviceTime
from sweeps.study_file.prices import Prices


class Account:
    """The hours of devices that trials have taken in their workers, and what these cost.

    Args:
        share: what part of a GPU, or how many cores of a CPU, a trial occupies.
        spent: what the trials that are done have cost, by key.
    """

    def __init__(self, prices: Prices, share: float, spent: Mapping[str, DeviceTime]) -> None:
        self._prices, self._share, self._spent = prices, share, dict(spent)

    def record(self, key: str, spent: DeviceTime) -> None:
        """Record what a trial has cost until now, all its attempts together."""
        self._spent[key] = spent

    def describe(self) -> str:
        """What was spent, e.g. "3.20 T4 hours (0.51 USD)"."""
        return self._describe_multiple(1.0)

    def describe_ahead(self, epochs: float) -> str:
        """What so many more epochs will cost, on devices as before; unknown while none of the
        trials has trained, as where the dense network is a given one."""
        trained = sum(trial.epochs for trial in self._spent.values())
        if trained <= 0:
            return "unknown, no epoch was trained yet"
        return "about " + self._describe_multiple(epochs / trained)

    def _describe_multiple(self, factor: float) -> str:
        """What was spent, times a factor."""
        hours: dict[str, float] = defaultdict(float)
        for trial in self._spent.values():
            hours[name_in_table(trial.device)] += factor * self._share * trial.seconds / 3600
        prices = [self._prices.price_of(device) for device in hours]
        paid = [
            spent * price
            for spent, price in zip(hours.values(), prices, strict=True)
            if price is not None
        ]
        money = ""
        if paid and len(paid) == len(hours):
            money = f" ({self._prices.describe_amount(sum(paid))})"
        total = sum(hours.values())
        number = f"{total:.2f}" if total >= 0.1 or not total else f"{total:.2g}"
        unit = hours_unit(next(iter(hours))) if len(hours) == 1 else "device hours"
        return f"{number} {unit}{money}"
