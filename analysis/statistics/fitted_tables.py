"""Means, intervals and comparisons of tidy values: one row per cell and seed, one table of them per
setting, each fitted by a variance model.

`values` has the columns `cell` and `seed` (any labels), `value`, and optionally `table`: cells of
one table share their variances (left out: all of it is one table). Accuracies are in percent;
`images` gives the test images of each table, or one number for all of them, and 0 where they are
unknown; None says that the metric is no accuracy.
"""

from collections.abc import Hashable, Iterator, Mapping

import numpy as np
import pandas as pd

from analysis.statistics.intervals_and_tests import adjust_holm
from analysis.statistics.model_differences import compare_pairs
from analysis.statistics.model_intervals import find_intervals
from analysis.statistics.variance_model import VarianceModel, fit_table, guess_images

Images = int | Mapping[Hashable, int] | None
MEANS = ["mean", "low", "high", "n"]
DIFFERENCES = ["difference", "low", "high", "n", "paired", "p"]


class FittedTables:
    """The fitted tables of some values."""

    def __init__(self, values: pd.DataFrame, *, images: Images = None) -> None:
        """Fit every table once. Infinite values, as the loss of a training that diverged, leave
        their cell without interval and test.

        Raises:
            ValueError: a cell has two values of one seed or stands in two tables; see also
                `fit_table`.
        """
        known = values.dropna(subset=["value"]).reset_index(drop=True)
        if known.duplicated(["cell", "seed"]).any():
            raise ValueError("a cell has several values of one seed; their mean counts once")
        tables = known["table"] if "table" in known.columns else pd.Series(0, index=known.index)
        if tables.groupby(known["cell"], sort=False).nunique().gt(1).any():
            raise ValueError("a cell stands in several tables")
        finite = np.isfinite(known["value"].to_numpy(dtype=float))
        spoilt = set(known.loc[~finite, "cell"])
        known = known[~known["cell"].isin(spoilt)]
        self._models: list[VarianceModel] = []
        self._places: dict[Hashable, tuple[int, int]] = {}
        # Labels of cells may be of several types, or tuples, which pandas takes for levels.
        numbers_of, labels = pd.factorize(known["cell"])
        known = known.assign(number=numbers_of)
        for table, part in known.groupby(tables.loc[known.index], sort=False):
            wide = part.pivot(index="number", columns="seed", values="value")
            numbers = wide.to_numpy(dtype=float)
            number = len(self._models)
            self._models.append(fit_table(numbers, images=_find_images(images, table, numbers)))
            self._places |= {cell: (number, row) for row, cell in enumerate(labels[wide.index])}

    def summarise(self) -> pd.DataFrame:
        """`mean` (plain), `low`, `high` (95 %; NaN where n < 2) and `n` of every cell."""
        cells: list[list[Hashable]] = [[] for _ in self._models]
        for cell, (table, _) in self._places.items():
            cells[table].append(cell)
        parts = [
            pd.DataFrame(
                dict(zip(MEANS, (model.mean, *find_intervals(model), model.n), strict=True)),
                index=pd.Index(names, tupleize_cols=False),
            )
            for model, names in zip(self._models, cells, strict=True)
        ]
        if not parts:
            return pd.DataFrame(columns=MEANS)
        names = [name for part in parts for name in part.index]
        whole = pd.concat(parts, ignore_index=True)
        return whole.set_axis(pd.Index(names, tupleize_cols=False))

    def compare(self, pairs: pd.DataFrame) -> pd.DataFrame:
        """Each `cell` less its `rival`, indexed as `pairs`: `difference`, `low`, `high` (95 %, of
        this difference alone), `n`, `paired` (by seed), `p` and `adjusted` (Holm, over all of
        them).

        A column `choices` says out of how many (k) candidates the rival was chosen for its mean:
        its p-values are then multiplied by k / 2 before Holm's correction. All pairs among k are
        k / 2 times as many as those with one of them, so the promise holds whichever was chosen.

        Raises:
            ValueError: a pair of two tables.
        """
        columns = {name: np.full(len(pairs), np.nan) for name in DIFFERENCES}
        for number, rows, first, second in self._group(pairs):
            differences = vars(compare_pairs(self._models[number], first, second))
            for name, column in columns.items():
                column[rows] = differences[name]
        compared = pd.DataFrame(columns, index=pairs.index).fillna({"n": 0, "paired": 0})
        compared = compared.astype({"n": int, "paired": bool})
        factor = pairs["choices"].clip(lower=2) / 2 if "choices" in pairs.columns else 1.0
        return compared.assign(adjusted=adjust_holm((compared["p"] * factor).clip(upper=1.0)))

    def _group(
        self, pairs: pd.DataFrame
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """The pairs of each table: its number, their positions in `pairs`, and the rows of both
        cells in the table."""
        both = [
            (self._places.get(cell), self._places.get(rival))
            for cell, rival in zip(pairs["cell"], pairs["rival"], strict=True)
        ]
        known = [
            (position, *place, *rival_place)
            for position, (place, rival_place) in enumerate(both)
            if place is not None and rival_place is not None
        ]
        numbers = np.array(known, dtype=int).reshape(-1, 5)
        if (numbers[:, 1] != numbers[:, 3]).any():
            raise ValueError("the cells of a pair stand in different tables")
        for table in np.unique(numbers[:, 1]):
            chosen = numbers[numbers[:, 1] == table]
            yield int(table), chosen[:, 0], chosen[:, 2], chosen[:, 4]


def pair_with_best(cells: pd.DataFrame, *, higher: bool = True) -> pd.DataFrame:
    """The pair of each candidate (`cell`) with the best of its group (`rival`), and out of how many
    that was chosen (`choices`), indexed as `cells`; the best itself is left out.

    `cells`: the candidates with `mean`, `n` and `group`, within which the best is chosen: among
    cells with at least two seeds where there are such.
    """
    several = cells["n"].ge(2)
    allowed = several | ~several.groupby(cells["group"]).transform("any")
    score = (cells["mean"] if higher else -cells["mean"]).where(allowed, -np.inf)
    best = score.groupby(cells["group"]).transform("idxmax")
    choices = allowed.groupby(cells["group"]).transform("sum").astype(int)
    pairs = pd.DataFrame(
        {"cell": cells.index, "rival": best.to_numpy(), "choices": choices.to_numpy()},
        index=cells.index,
    )
    return pairs[pairs["cell"] != pairs["rival"]]


def _find_images(images: Images, table: Hashable, numbers: np.ndarray) -> int | None:
    """The test images of a table; guessed from its values where they are unknown. None where its
    values are no accuracies."""
    if images is None or np.nanmin(numbers) < 0 or np.nanmax(numbers) > 100:
        return None
    count = images if isinstance(images, int) else images.get(table, 0)
    return int(count) if count else guess_images(numbers)
