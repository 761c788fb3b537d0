"""A claim of a paper as something that our rows keep or not, and the verdict on it.

The tolerance of a claim is written down before the study runs and is not widened afterwards. The
mean over the seeds decides; its interval says how sure the mean is.
"""

import math
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from analysis.replications.quantities import Quantity
from analysis.statistics.intervals_and_tests import t_interval

EXACT = 1e-9  # what rounding may move a number on its bound
Kind = Literal["equals", "at least", "at most"]


@dataclass(frozen=True)
class Claim:
    """What a paper says, and how far from it ours may lie.

    says: the claim in the paper's words or close to them. source: where it stands. quantity: our
    number for it. kind, published, tolerance: ours must lie within `tolerance` of `published`, or
    be at least (at most) `published` less (and) the tolerance. The bound of a statement that has no
    number ("is worse") is 0, or 1 for a ratio. decimals: of the numbers on the page.
    """

    says: str
    source: str
    quantity: Quantity
    kind: Kind
    published: float
    tolerance: float
    decimals: int = 2

    @property
    def low(self) -> float:
        """The smallest number that keeps the claim."""
        return -math.inf if self.kind == "at most" else self.published - self.tolerance

    @property
    def high(self) -> float:
        """The largest number that keeps the claim."""
        return math.inf if self.kind == "at least" else self.published + self.tolerance


@dataclass(frozen=True)
class Verdict:
    """Our number for a claim: the mean over n seeds and its 95 % interval, None with one seed; n is
    0 where it was not run."""

    claim: Claim
    n: int
    mean: float = math.nan
    interval: tuple[float, float] | None = None

    @property
    def beyond(self) -> float:
        """By how much the mean lies outside of what the claim tolerates; 0 inside."""
        claim = self.claim
        outside = max(claim.low - self.mean, self.mean - claim.high)
        return outside if outside > EXACT else 0.0

    @property
    def inside(self) -> bool | None:
        """Whether the mean keeps the claim; None where it was not run."""
        return self.beyond == 0 if self.n else None

    @property
    def surely(self) -> bool:
        """Whether the whole interval lies on the side of the bounds on which the mean does."""
        if self.interval is None:
            return False
        claim, (low, high) = self.claim, self.interval
        if self.inside:
            return claim.low <= low and high <= claim.high
        return high < claim.low or low > claim.high


def judge(claim: Claim, rows: pd.DataFrame) -> Verdict:
    """Our number for a claim, from the rows of its replication."""
    values = claim.quantity.of_seeds(rows)
    if values.empty:
        return Verdict(claim, 0)
    found, read = t_interval(values), claim.quantity.read
    if found.half_width is None:
        return Verdict(claim, found.n, read(found.mean))
    low, high = read(found.mean - found.half_width), read(found.mean + found.half_width)
    return Verdict(claim, found.n, read(found.mean), (low, high))
