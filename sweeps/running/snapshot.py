"""How a run stands at one moment, as the live view shows it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """Counts of trials, the time left, and what was spent.

    ended: done, failed or not run. total: None where that is not known, as in a search with a
    budget of hours. eta: seconds; None while there is no pace. spent: what it has cost and will
    cost, in words.
    """

    ended: int
    total: int | None
    failed: int
    eta: float | None = None
    spent: str = ""
