"""Made-up tables of accuracies in whole images, for the tests of the variance model."""

import numpy as np
import pandas as pd
from scipy.special import expit


def make_table(
    rng: np.random.Generator, cells: int = 12, seeds: int = 3, images: int = 359
) -> np.ndarray:
    """Accuracies in whole images, some cells near 100 % and some near 10 %."""
    place = rng.choice([4.5, 3.0, 1.0, -2.2], (cells, 1)) + 0.3 * rng.standard_normal(
        (cells, seeds)
    )
    return 100 * rng.binomial(images, expit(place)) / images


def make_values(table: np.ndarray, name: str = "a") -> pd.DataFrame:
    """The tidy frame of a table."""
    cells, seeds = np.indices(table.shape)
    frame = pd.DataFrame({"cell": cells.ravel(), "seed": seeds.ravel(), "value": table.ravel()})
    return frame.dropna().assign(table=name)
