"""Comparisons paired by seed: with the dense network and with the best method, p-values corrected
for their number."""

import numpy as np
import pandas as pd

from analysis.statistics.intervals_and_tests import CONFIDENCE, adjust_holm, half_width, p_value
from analysis.statistics.results import Results

ALPHA = 1 - CONFIDENCE
EQUAL = 1e-9  # differences below this are rounding errors


def compare_to_dense(results: Results) -> pd.DataFrame:
    """Every result less the dense network of the same seeds, in the order of `results.cells`,
    indexed as those.

    Columns: `difference`, `half_width`, `n` (pairs), `p` and `adjusted` (Holm, over all of them).
    Only the last stage of a method counts; cells without a pair are left out.
    """
    takes_part = results.cells["series_index"].isin(results.list_last_stages())
    cells = results.cells[takes_part & (results.cells["drop_n"] > 0)]
    names = {"drop": "difference", "drop_half_width": "half_width", "drop_n": "n", "drop_p": "p"}
    compared = cells[list(names)].rename(columns=names)
    return compared.assign(adjusted=adjust_holm(compared["p"]))


def compare_to_best(results: Results) -> pd.DataFrame:
    """Every result less the best one of the same setting, sparsity and seeds; indexed as
    `results.cells`.

    Columns as `compare_to_dense`, and `best`, the index of the cell compared with; the best
    themselves are not in it. The best is chosen among cells with at least two seeds where there are
    such. Results without a requested sparsity have no peers to be compared with.
    """
    takes_part = results.cells["series_index"].isin(results.list_last_stages())
    has_peers = (results.cells["n"] > 0) & results.cells["sparsity"].notna()
    cells = results.cells[takes_part & has_peers]
    best = _find_best(cells, higher=results.metric.higher)
    rest = cells.assign(best=best.reindex(cells.index))
    rest = rest[rest["best"] != rest.index]
    columns = ["cell", "seed", "value"]
    best_cells = rest["best"].rename_axis("cell").reset_index()
    pairs = results.values[columns].merge(best_cells, on="cell")
    best_values = results.values[columns].rename(columns={"cell": "best", "value": "best_value"})
    pairs = pairs.merge(best_values, on=["best", "seed"])
    differences = (pairs["value"] - pairs["best_value"]).groupby(pairs["cell"])
    spread = differences.agg(["mean", "std", "count"]).reindex(rest.index)
    n = spread["count"].fillna(0).astype(int).to_numpy()
    mean, std = spread["mean"].to_numpy(dtype=float), spread["std"].to_numpy(dtype=float)
    compared = pd.DataFrame(
        {"difference": mean, "half_width": half_width(std, n), "n": n}, index=rest.index
    )
    compared["p"] = p_value(mean, std, n)
    compared["adjusted"] = adjust_holm(compared["p"])
    return compared.assign(best=rest["best"].astype(int))


def find_leaders(results: Results) -> frozenset[int]:
    """The cells to print bold: the best of every setting and sparsity, and those that are not
    separable from it.

    None where no comparison could be tested, as with one seed.
    """
    compared = compare_to_best(results)
    tested = compared[compared["p"].notna()]
    equal = tested.index[tested["adjusted"] >= ALPHA]
    return frozenset(int(index) for index in {*equal, *tested["best"]})


def _find_best(cells: pd.DataFrame, *, higher: bool) -> pd.Series:
    """For every cell the index of the best one of its setting and sparsity."""
    groups = [cells["setting_index"], cells["sparsity"]]
    several = cells["n"].ge(2)
    score = cells["mean"] if higher else -cells["mean"]
    score = score.where(several | ~several.groupby(groups).transform("any"), -np.inf)
    return score.groupby(groups).transform("idxmax")
