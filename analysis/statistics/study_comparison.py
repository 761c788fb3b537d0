"""Two studies side by side: every result that both have, and the difference, paired by seed where
seeds are shared."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr

from analysis.reading.load import Study
from analysis.statistics.intervals_and_tests import adjust_holm, half_width, p_value
from analysis.statistics.results import Results, collect_results

MATCHED = ["dataset", "model", "method", "knobs", "stage"]  # equal in two results that are compared


@dataclass(frozen=True)
class StudyComparison:
    """Two studies of one metric, A and B. `cells`: one row per result that both have, in the order
    of A: its identity, `mean_a`, `half_width_a`, `n_a`, the same with `b`, and of B less A
    `difference`, `half_width`, `pairs`, `p`, `adjusted` (Holm over all rows); `paired` says whether
    it is paired by seed, or of two samples of unequal spread (Welch).

    alone_a, alone_b: how many results only one of them has. recipes: whether the recipes of what is
    compared differ.
    """

    a: Results
    b: Results
    cells: pd.DataFrame
    alone_a: int
    alone_b: int
    recipes: bool


def compare_studies(study: Study, other: Study, metric: str = "test_top1") -> StudyComparison:
    """Match the results of two studies by data set, model, method, knobs, stage and sparsity (or
    level, where a method's own rule decides); by recipe, too, where one of them has several.

    Raises:
        ValueError: one of them has no rows, no such metric, or they have no result in common.
    """
    for one_study in (study, other):
        if one_study.rows.empty:
            raise ValueError(
                f"study '{one_study.name}' has no rows yet: there is nothing to compare"
            )
    a, b = collect_results(study, metric), collect_results(other, metric)
    cells_a, cells_b = _select_measured(a), _select_measured(b)
    several_recipes = any(
        cells.groupby(["dataset", "model"])["recipe"].nunique().gt(1).any()
        for cells in (cells_a, cells_b)
    )
    keys = [*MATCHED, *(["recipe"] if several_recipes else []), "sparsity", "own_level"]
    both = cells_a.merge(cells_b, on=keys, suffixes=("_a", "_b"))
    if both.empty:
        raise ValueError(f"studies '{study.name}' and '{other.name}' have no result in common")
    tests = pd.DataFrame(
        [_test(a, b, *cells) for cells in zip(both["cell_a"], both["cell_b"], strict=True)]
    )
    cells = pd.concat([both.reset_index(drop=True), tests], axis=1)
    cells["adjusted"] = adjust_holm(cells["p"])
    return StudyComparison(
        a,
        b,
        cells,
        alone_a=len(cells_a) - both["cell_a"].nunique(),
        alone_b=len(cells_b) - both["cell_b"].nunique(),
        recipes=not several_recipes and bool((both["recipe_a"] != both["recipe_b"]).any()),
    )


def _select_measured(results: Results) -> pd.DataFrame:
    """The measured cells, with what they are matched by."""
    cells = results.cells[results.cells["n"] > 0]
    own = cells["level"].where(cells["sparsity"].isna()).astype("Int64")
    columns = ["series", *MATCHED, "recipe", "sparsity", "place", "mean", "half_width", "n"]
    return cells[columns].assign(own_level=own, cell=cells.index)


def _test(a: Results, b: Results, cell_a: int, cell_b: int) -> dict[str, object]:
    """B less A: paired where at least two seeds, or the only ones, are shared, else unpaired."""
    x = a.values[a.values["cell"] == cell_a].set_index("seed")["value"]
    y = b.values[b.values["cell"] == cell_b].set_index("seed")["value"]
    shared = (y - x).dropna()
    if len(shared) >= 2 or (len(shared) == 1 and min(len(x), len(y)) == 1):
        mean, std, n = float(shared.mean()), float(shared.std()), len(shared)
        half, p = float(half_width(std, n)), float(p_value(mean, std, n))
        return {"difference": mean, "half_width": half, "pairs": n, "p": p, "paired": True}
    difference, half, p = compare_two_samples(x.to_numpy(dtype=float), y.to_numpy(dtype=float))
    return {"difference": difference, "half_width": half, "pairs": 0, "p": p, "paired": False}


def compare_two_samples(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """The mean of y less that of x, the half width of its 95 % interval and the two-sided p-value
    (Welch 1947); NaN where one has fewer than two values or neither has any spread."""
    difference = float(y.mean() - x.mean())
    if min(len(x), len(y)) < 2:
        return difference, float("nan"), float("nan")
    parts = np.array([x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)])
    error = float(np.sqrt(parts.sum()))
    if not error:
        return difference, float("nan"), float("nan")
    freedom = float(parts.sum() ** 2 / (parts**2 / [len(x) - 1, len(y) - 1]).sum())
    # half_width takes a standard deviation and n, which stand for error * sqrt(n) and freedom + 1
    # here.
    half = float(half_width(error * np.sqrt(freedom + 1), np.asarray(freedom + 1)))
    return difference, half, float(2 * stdtr(freedom, -abs(difference) / error))
