"""Ranks of methods over several data sets or models: Friedman's test and Nemenyi's critical
difference.

As Demsar recommends (2006, "Statistical comparisons of classifiers over multiple data sets", JMLR
7).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.statistics.results import Results

LEAST_SETTINGS = 3  # data sets or models: with two, ranks say nothing that the accuracies do not
MOST_RANKINGS = 4  # sparsities that get a ranking, the largest


@dataclass(frozen=True)
class Ranking:
    """Average ranks over `blocks` data sets or models, 1 the best, in rising order.

    chi2, p: Friedman's test that all rank alike, corrected for ties. difference: two methods whose
    average ranks are closer than this are not separable at 5 % (Nemenyi).
    """

    ranks: pd.Series
    blocks: int
    chi2: float
    p: float
    difference: float

    def find_cliques(self) -> list[tuple[str, str]]:
        """The largest groups that are not separable, as (first, last) in the order of ranks; groups
        of one left out."""
        names, values = list(self.ranks.index), self.ranks.to_numpy()
        cliques: list[tuple[int, int]] = []
        for first in range(len(names)):
            last = int(np.flatnonzero(values - values[first] < self.difference)[-1])
            if last > first and not (cliques and last <= cliques[-1][1]):
                cliques.append((first, last))
        return [(names[first], names[last]) for first, last in cliques]


def rank_methods(scores: pd.DataFrame, *, higher: bool = True) -> Ranking:
    """Rank the columns (methods) within each row (data set or model); equal scores share the mean
    of their ranks.

    Raises:
        ValueError: fewer than two methods or two rows, or a score is missing.
    """
    blocks, methods = scores.shape
    if methods < 2 or blocks < 2 or scores.isna().any(axis=None):
        raise ValueError(
            "ranks need at least two methods and two data sets without missing scores, but got "
            f"{methods} and {blocks}"
        )
    from scipy.special import chdtrc
    from scipy.stats import studentized_range  # late: importing scipy.stats takes a second

    ranks = scores.rank(axis=1, ascending=not higher)
    totals = ranks.sum(axis=0)
    ties = sum((count**3 - count) for _, row in ranks.iterrows() for count in row.value_counts())
    squares = float((totals**2).sum())
    spread = 12 / (blocks * methods * (methods + 1)) * squares - 3 * blocks * (methods + 1)
    shrink = 1 - ties / (blocks * methods * (methods**2 - 1))
    chi2 = spread / shrink if shrink > 0 else 0.0
    quantile = studentized_range.ppf(0.95, methods, np.inf) / np.sqrt(2)
    difference = float(quantile * np.sqrt(methods * (methods + 1) / (6 * blocks)))
    average = (totals / blocks).sort_values(kind="stable")
    return Ranking(average, blocks, chi2, float(chdtrc(methods - 1, chi2)), difference)


def find_rankings(results: Results) -> dict[float, Ranking]:
    """A ranking per requested sparsity, of the methods (last stages) that were measured in all
    settings; it generalises over pairs of data set and model, not over seeds. Several recipes of
    one pair count once, with their mean: they are no further data.

    None where fewer than `LEAST_SETTINGS` pairs have two methods in common.
    """
    pairs = pd.Series([f"{setting.dataset}, {setting.model}" for setting in results.settings])
    if pairs.nunique() < LEAST_SETTINGS:
        return {}
    taking_part = results.cells["series_index"].isin(results.list_last_stages())
    cells = results.cells[taking_part & (results.cells["n"] > 0)].dropna(subset=["sparsity"])
    counts = cells[cells["sparsity"] > 0].groupby("sparsity")["setting_index"].nunique()
    rankings = {}
    for sparsity in sorted(counts.index[counts >= LEAST_SETTINGS], reverse=True):
        scores = cells[cells["sparsity"] == sparsity].pivot_table(
            index="setting_index", columns="series_index", values="mean"
        )
        scores = scores.dropna(axis=1)
        scores = scores.groupby(pairs.loc[scores.index].to_numpy()).mean()
        if len(scores) >= LEAST_SETTINGS and scores.shape[1] >= 2:
            scores.columns = [results.series[int(str(index))].label for index in scores.columns]
            rankings[float(sparsity)] = rank_methods(scores, higher=results.metric.higher)
        if len(rankings) == MOST_RANKINGS:
            break
    return dict(sorted(rankings.items()))
