"""Which dimensions of a search matter: their shares of the variance of a random forest fitted to
the ranks of the candidates."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.ensemble import RandomForestRegressor

from analysis.reading.search_data import Search
from analysis.series import format_sparsity

FEWEST = 10  # candidates below which no importance is given
TRUSTED_FIT = 0.3  # R² out of bag below which the forest has not learnt what matters
TREES, POINTS, GRID = 150, 300, 12
ENDED = ("done", "stopped", "disconnected", "failed")


@dataclass(frozen=True)
class Importance:
    """The shares at one sparsity, or at all together where it is NaN: what each dimension explains
    alone, of the variance that the forest sees over the space.

    rest: what only several dimensions together explain. fit: R² out of bag. n: how many candidates.
    """

    sparsity: float
    shares: dict[str, float]
    rest: float
    fit: float
    n: int

    @property
    def where(self) -> str:
        """The sparsity in words."""
        if np.isnan(self.sparsity):
            return "all sparsities"
        return f"sparsity {format_sparsity(self.sparsity)} %"


def find_relative_ranks(candidates: pd.DataFrame) -> pd.Series:
    """How well each candidate did among those at its sparsity: 0 the worst, 1 the best, null where
    it has not ended.

    One that was trained for longer stands above one that was stopped earlier; of equals, the
    validation accuracy reached decides. Disconnected and failed ones share the last place.
    """
    ended = candidates[candidates["outcome"].isin(ENDED)]
    out = ended["outcome"].isin(["disconnected", "failed"])
    share = ended["share"].where(~out, -1.0)
    reached = ended["reached"].where(~out, -1.0).fillna(-1.0)
    order = pd.Series(list(zip(share, reached, strict=True)), index=ended.index)
    codes = order.map({value: code for code, value in enumerate(sorted(set(order)))})
    ranks = (rankdata(codes) - 1) / max(len(codes) - 1, 1) if len(codes) else []
    return pd.Series(ranks, index=ended.index, dtype=float).reindex(candidates.index)


def encode_dimension(search: Search, name: str, values: pd.Series) -> np.ndarray:
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
    """The importances over all sparsities together, with ranks within each sparsity, and at each
    of them: wherever at least `FEWEST` candidates have ended and their ranks differ.

    As functional ANOVA (Hutter et al. 2014), of first order, by Monte Carlo: the forest predicts at
    points whose coordinates are drawn independently from those that were tried.
    """
    ranks_at = {
        sparsity: find_relative_ranks(search.candidates_at(sparsity)).dropna()
        for sparsity in search.sparsities
    }
    groups = [(float("nan"), pd.concat(ranks_at.values()))] if len(ranks_at) > 1 else []
    groups += list(ranks_at.items())
    return [
        _fit_forest(search, sparsity, search.candidates.loc[ranks.index], ranks)
        for sparsity, ranks in groups
        if len(ranks) >= FEWEST and ranks.nunique() > 1
    ]


def _fit_forest(
    search: Search, sparsity: float, candidates: pd.DataFrame, ranks: pd.Series
) -> Importance:
    """The importance of each dimension for the ranks of some candidates."""
    columns = np.column_stack(
        [encode_dimension(search, name, candidates[name]) for name in search.dimensions]
    )
    forest: Any = RandomForestRegressor(
        TREES, min_samples_leaf=2, oob_score=True, random_state=0, n_jobs=1
    )
    forest.fit(columns, ranks.to_numpy())
    generator = np.random.default_rng(0)
    points = np.column_stack(
        [generator.choice(columns[:, index], POINTS) for index in range(columns.shape[1])]
    )
    total = float(forest.predict(points).var())
    shares = {
        name: _find_variance(forest, points, index) / total if total > 0 else 0.0
        for index, name in enumerate(search.dimensions)
    }
    # As points are drawn, shares may by chance add up to a little more than 1.
    most = max(1.0, sum(shares.values()))
    shares = {name: share / most for name, share in shares.items()}
    rest = 1 - sum(shares.values()) if total > 0 else 0.0
    return Importance(sparsity, shares, rest, float(forest.oob_score_), len(ranks))


def _find_variance(forest: Any, points: np.ndarray, index: int) -> float:
    """The variance of the forest's mean prediction over the values of one coordinate of points."""
    values, counts = np.unique(points[:, index], return_counts=True)
    if len(values) > GRID:
        values = np.quantile(points[:, index], np.linspace(0, 1, GRID), method="nearest")
        counts = np.ones(GRID, dtype=counts.dtype)
    # All predictions in one call, since each call takes time of its own.
    with_values = np.concatenate([_set_coordinate(points, index, value) for value in values])
    means = forest.predict(with_values).reshape(len(values), -1).mean(axis=1)
    mean = np.average(means, weights=counts)
    return float(np.average((means - mean) ** 2, weights=counts))


def _set_coordinate(points: np.ndarray, index: int, value: float) -> np.ndarray:
    """Points with one coordinate set to a value."""
    changed = points.copy()
    changed[:, index] = value
    return changed


def correlate_scores(search: Search) -> pd.DataFrame:
    """How well the cheap score predicts the final accuracy: per sparsity Spearman's rho of score
    and final validation accuracy, its p-value, `n` (candidates that were scored and trained to the
    end) and `scored`; rho and p are null where n is below 3."""
    from scipy.stats import spearmanr

    correlations = []
    for sparsity in search.sparsities:
        candidates = search.candidates_at(sparsity)
        both = candidates.dropna(subset=["score", "val_top1"])
        rho, p = float("nan"), float("nan")
        if len(both) >= 3 and both["score"].nunique() > 1 and both["val_top1"].nunique() > 1:
            rho, p = spearmanr(both["score"], both["val_top1"])
        scored = int(candidates["score"].notna().sum())
        if scored:
            correlations.append((sparsity, float(rho), float(p), len(both), scored))
    return pd.DataFrame(correlations, columns=["sparsity", "rho", "p", "n", "scored"])
