"""Which dimensions of a search matter: their shares of the variance of a forest fitted to the
candidates' places."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.ensemble import RandomForestRegressor

from analysis.reading.search_data import Search
from analysis.series import format_sparsity

FEWEST = 10  # candidates below which nothing is said
TREES, POINTS, GRID = 150, 300, 12
ENDED = ("done", "stopped", "disconnected", "failed")


@dataclass(frozen=True)
class Importance:
    """The shares at one sparsity, or at all together where it is NaN: what each dimension explains
    alone, of the variance that the forest sees over the space.

    rest: what only several explain together. fit: R² out of bag. n: the candidates.
    """

    sparsity: float
    shares: dict[str, float]
    rest: float
    fit: float
    n: int

    @property
    def where(self) -> str:
        """The sparsity in words."""
        return (
            "all sparsities"
            if np.isnan(self.sparsity)
            else f"sparsity {format_sparsity(self.sparsity)} %"
        )


def find_places(found: pd.DataFrame) -> pd.Series:
    """How well each candidate did among those at its sparsity: 0 the worst, 1 the best, null where
    it has not ended.

    Who got further stands above who was stopped earlier; of equals counts the validation accuracy
    reached there. Disconnected and failed ones share the last place.
    """
    ended = found[found["outcome"].isin(ENDED)]
    out = ended["outcome"].isin(["disconnected", "failed"])
    share, reached = (
        ended["share"].where(~out, -1.0),
        ended["reached"].where(~out, -1.0).fillna(-1.0),
    )
    order = pd.Series(list(zip(share, reached, strict=True)), index=ended.index)
    codes = order.map({value: code for code, value in enumerate(sorted(set(order)))})
    places = (rankdata(codes) - 1) / max(len(codes) - 1, 1) if len(codes) else []
    return pd.Series(places, index=ended.index, dtype=float).reindex(found.index)


def encode(search: Search, name: str, values: pd.Series) -> np.ndarray:
    """The values of a dimension on the scale it was searched on; -1 below it where its condition
    was not met."""
    if not search.is_number(name):
        codes = {repr(value): code for code, value in enumerate(search.choices(name))}
        return np.array([codes.get(repr(value), -1) for value in values], dtype=float)
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    if search.is_log(name):
        numbers = pd.Series(np.log(numbers), index=numbers.index)
    lowest = numbers.min()
    return np.asarray(numbers.fillna((0.0 if pd.isna(lowest) else lowest) - 1), dtype=float)


def find_importances(search: Search) -> list[Importance]:
    """The importances over all sparsities together, places being within each, and at each of them:
    wherever at least `FEWEST` candidates have ended, and places differ.

    As functional ANOVA (Hutter et al. 2014), of first order, by Monte Carlo: the forest is asked at
    points whose coordinates are drawn independently from those that were tried.
    """
    known = {sparsity: find_places(search.at(sparsity)).dropna() for sparsity in search.sparsities}
    asked = [(float("nan"), pd.concat(known.values()))] if len(known) > 1 else []
    asked += list(known.items())
    return [
        _fit(search, sparsity, search.candidates.loc[places.index], places)
        for sparsity, places in asked
        if len(places) >= FEWEST and places.nunique() > 1
    ]


def _fit(search: Search, sparsity: float, here: pd.DataFrame, places: pd.Series) -> Importance:
    columns = np.column_stack([encode(search, name, here[name]) for name in search.dimensions])
    forest: Any = RandomForestRegressor(
        TREES, min_samples_leaf=2, oob_score=True, random_state=0, n_jobs=1
    )
    forest.fit(columns, places.to_numpy())
    generator = np.random.default_rng(0)
    points = np.column_stack(
        [generator.choice(columns[:, index], POINTS) for index in range(columns.shape[1])]
    )
    total = float(forest.predict(points).var())
    shares = {}
    for index, name in enumerate(search.dimensions):
        values, counts = np.unique(points[:, index], return_counts=True)
        if len(values) > GRID:
            values = np.quantile(points[:, index], np.linspace(0, 1, GRID), method="nearest")
            counts = np.ones(GRID, dtype=counts.dtype)
        asked = np.concatenate([_fixed(points, index, value) for value in values])
        means = (
            forest.predict(asked).reshape(len(values), -1).mean(axis=1)
        )  # one call: each has a price of its own
        mean = np.average(means, weights=counts)
        shares[name] = (
            float(np.average((means - mean) ** 2, weights=counts)) / total if total > 0 else 0.0
        )
    most = max(
        1.0, sum(shares.values())
    )  # by chance of the drawn points they may add up to a little more
    shares = {name: share / most for name, share in shares.items()}
    rest = 1 - sum(shares.values()) if total > 0 else 0.0
    return Importance(sparsity, shares, rest, float(forest.oob_score_), len(places))


def _fixed(points: np.ndarray, index: int, value: float) -> np.ndarray:
    changed = points.copy()
    changed[:, index] = value
    return changed


def correlate_scores(search: Search) -> pd.DataFrame:
    """How well the cheap score told the end: per sparsity Spearman's rho of score and final
    validation accuracy, its p-value, and n, the candidates that were scored and trained to the end;
    null below 3."""
    from scipy.stats import spearmanr

    lines = []
    for sparsity in search.sparsities:
        here = search.at(sparsity).dropna(subset=["score", "val_top1"])
        rho, p = (float("nan"), float("nan"))
        if len(here) >= 3 and here["score"].nunique() > 1 and here["val_top1"].nunique() > 1:
            rho, p = spearmanr(here["score"], here["val_top1"])
        scored = int(search.at(sparsity)["score"].notna().sum())
        lines.append(
            {
                "sparsity": sparsity,
                "rho": float(rho),
                "p": float(p),
                "n": len(here),
                "scored": scored,
            }
        )
    return pd.DataFrame(
        [line for line in lines if line["scored"]], columns=["sparsity", "rho", "p", "n", "scored"]
    )
