"""The scale on which values are compared: log-odds for accuracies, other metrics as they are."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit


@dataclass(frozen=True)
class ValueScale:
    """The log-odds of an accuracy in percent of `images` test images; or, where `images` is None,
    the values as they are."""

    images: int | None

    def place_values(self, values: np.ndarray) -> np.ndarray:
        """The places of mean values on the scale: log((k + 1/2) / (N - k + 1/2)) for an accuracy of
        k right out of N images."""
        if self.images is None:
            return np.asarray(values, dtype=float)
        return np.asarray(logit((values / 100 * self.images + 0.5) / (self.images + 1)))

    def read_values(self, places: np.ndarray) -> np.ndarray:
        """The mean values at places on the scale; accuracies stay within 0 and 100."""
        if self.images is None:
            return np.asarray(places, dtype=float)
        share = (expit(places) * (self.images + 1) - 0.5) / self.images
        return np.asarray(100 * np.clip(share, 0, 1))

    def find_slopes(self, places: np.ndarray) -> np.ndarray:
        """By how much the value changes per unit of the scale, at some places."""
        if self.images is None:
            return np.ones_like(places)
        variance = expit(places) * expit(-places)
        return np.asarray(100 * variance * (self.images + 1) / self.images)
