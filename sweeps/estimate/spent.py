"""What a study has cost so far, and what is to come at the same rate."""

from collections import defaultdict
from collections.abc import Mapping

from sweeps.estimate.devices import known_as, unit
from sweeps.planning.trial_status import Spent
from sweeps.study_file.prices import Prices


class Account:
    """The hours of devices that trials have taken in their workers, and what these cost.

    Args:
        share: what part of a GPU, or how many cores of a CPU, a trial occupies.
        spent: what the trials that are done have cost, by key.
    """

    def __init__(self, prices: Prices, share: float, spent: Mapping[str, Spent]) -> None:
        self._prices, self._share, self._spent = prices, share, dict(spent)

    def put(self, key: str, spent: Spent) -> None:
        """What a trial has cost until now, all its attempts together."""
        self._spent[key] = spent

    def told(self) -> str:
        """What was spent, e.g. "3.20 T4 hours (0.51 USD)"."""
        return self._words(1.0)

    def told_ahead(self, epochs: float) -> str:
        """What so many more epochs will cost, on devices as before."""
        return "about " + self._words(
            epochs / max(1e-9, sum(one.epochs for one in self._spent.values()))
        )

    def _words(self, scale: float) -> str:
        """So many times of what was spent."""
        hours: dict[str, float] = defaultdict(float)
        for one in self._spent.values():
            hours[known_as(one.device)] += scale * self._share * one.seconds / 3600
        prices = [self._prices.of(device) for device in hours]
        paid = [
            spent * price
            for spent, price in zip(hours.values(), prices, strict=True)
            if price is not None
        ]
        money = f" ({self._prices.told(sum(paid))})" if paid and len(paid) == len(hours) else ""
        total = sum(hours.values())
        number = f"{total:.2f}" if total >= 0.1 or not total else f"{total:.2g}"
        return f"{number} {unit(next(iter(hours))) if len(hours) == 1 else 'device hours'}{money}"
