"""Student's t with a spread that is not known: a mixture of t distributions, for p-values and
interval widths.

p-values and intervals average over the components of the variances' posterior (Ignatiadis & Sen
2025, Empirical partially Bayes multiple testing and compound chi-squared decisions, Ann. Stat.
53(1)).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from analysis.statistics.intervals_and_tests import CONFIDENCE

HALVINGS = 36  # the components differ by many orders of magnitude, and the search begins above all


@dataclass(frozen=True)
class TMixture:
    """Components, each with the number of its case, its weight, squared standard error and degrees
    of freedom. Cases are the places of an array of some shape; those without components are
    unknown."""

    shape: tuple[int, ...]
    case: np.ndarray
    weight: np.ndarray
    variance: np.ndarray
    freedom: np.ndarray

    def find_p_values(self, gap: np.ndarray) -> np.ndarray:
        """Two-sided p-values of gaps >= 0; NaN where unknown."""
        size = int(np.prod(self.shape))
        tail = stdtr(self.freedom, -np.ravel(gap)[self.case] / np.sqrt(self.variance))
        total = np.bincount(self.case, self.weight, size)
        both_tails = np.bincount(self.case, 2 * self.weight * tail, size)
        p = both_tails / np.where(total > 0, total, np.nan)
        return p.reshape(self.shape)

    def find_half_widths(self) -> np.ndarray:
        """The gaps with a p-value of 5 %, by halving; NaN where unknown."""
        size = int(np.prod(self.shape))
        largest, total = np.zeros(size), np.bincount(self.case, self.weight, size)
        np.maximum.at(largest, self.case, np.sqrt(self.variance))
        low = np.zeros(self.shape)
        high = np.where(total > 0, 100 * largest, np.nan).reshape(self.shape)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            inside = self.find_p_values(middle) > 1 - CONFIDENCE
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        return high
