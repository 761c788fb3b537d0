"""Comparisons paired by seed: to the dense network and to the best method, corrected for their
number."""

import numpy as np
import pandas as pd

from analysis.statistics.intervals_and_tests import LEVEL, adjust, half_width, p_value
from analysis.statistics.results import Results

ALPHA = 1 - LEVEL
EQUAL = 1e-9  # differences below this are rounding errors


def compare_to_dense(results: Results) -> pd.DataFrame:
    """Every result less the dense network of the same seeds, in the order of `results.cells`,
    indexed as those.

    Columns: `difference`, `half_width`, `n` (pairs), `p` and `adjusted` (Holm, over all of them).
    Only the last stage of a method counts; cells without a pair are left out.
    """
    cells = results.cells[_find_candidates(results) & (results.cells["drop_n"] > 0)]
    names = {"drop": "difference", "drop_half_width": "half_width", "drop_n": "n", "drop_p": "p"}
    found = cells[list(names)].rename(columns=names)
    return found.assign(adjusted=adjust(found["p"]))


def compare_to_best(results: Results) -> pd.DataFrame:
    """Every result less the best one of the same setting, sparsity and seeds; indexed as
    `results.cells`.

    Columns as `compare_to_dense`, and `best`, the index of the cell compared with; the best
    themselves are not in it. The best is chosen among cells with at least two seeds where there are
    such. Results without a requested sparsity have no peers to be compared with.
    """
    cells = results.cells[
        _find_candidates(results) & (results.cells["n"] > 0) & results.cells["sparsity"].notna()
    ]
    best = _find_best(cells, higher=results.metric.higher)
    rest = cells.assign(best=best.reindex(cells.index))
    rest = rest[rest["best"] != rest.index]
    pairs = results.values[["cell", "seed", "value"]].merge(
        rest["best"].rename_axis("cell").reset_index(), on="cell"
    )
    rivals = results.values[["cell", "seed", "value"]].rename(
        columns={"cell": "best", "value": "rival"}
    )
    pairs = pairs.merge(rivals, on=["best", "seed"])
    spread = (
        (pairs["value"] - pairs["rival"])
        .groupby(pairs["cell"])
        .agg(["mean", "std", "count"])
        .reindex(rest.index)
    )
    n = spread["count"].fillna(0).astype(int).to_numpy()
    mean, std = spread["mean"].to_numpy(dtype=float), spread["std"].to_numpy(dtype=float)
    found = pd.DataFrame(
        {"difference": mean, "half_width": half_width(std, n), "n": n}, index=rest.index
    )
    found["p"] = p_value(mean, std, n)
    found["adjusted"] = adjust(found["p"])
    return found.assign(best=rest["best"].astype(int))


def find_leaders(results: Results) -> frozenset[int]:
    """The cells to print bold: the best of every setting and sparsity, and those that are not
    separable from it.

    None where no comparison could be tested, as with one seed.
    """
    compared = compare_to_best(results)
    tested = compared[compared["p"].notna()]
    equal = tested.index[tested["adjusted"] >= ALPHA]
    return frozenset(int(index) for index in {*equal, *tested["best"]})


def _find_candidates(results: Results) -> pd.Series:
    """Which cells take part: the last stages of the methods."""
    lines = [
        index
        for index, one in enumerate(results.series)
        if one in results.last and one.method != "dense"
    ]
    return results.cells["line"].isin(lines)


def _find_best(cells: pd.DataFrame, *, higher: bool) -> pd.Series:
    """For every cell the index of the best one of its setting and sparsity."""
    several = cells["n"].ge(2)
    score = cells["mean"] if higher else -cells["mean"]
    score = score.where(
        several | ~several.groupby([cells["site"], cells["sparsity"]]).transform("any"), -np.inf
    )
    groups = score.groupby([cells["site"], cells["sparsity"]])
    return groups.transform("idxmax")
