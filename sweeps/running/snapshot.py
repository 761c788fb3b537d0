"""How a run stands at one moment, as the live view shows it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Snapshot:
    """Counts of trials, the time left, and what was spent.

    ended: trials that are done, failed or cannot run. total: None where that is not known, as in a
    search with a budget of hours. eta: seconds left; None while that cannot be estimated. spent:
    what the run has cost and will cost, in words.
    """

    ended: int
    total: int | None
    failed: int
    eta: float | None = None
    spent: str = ""
