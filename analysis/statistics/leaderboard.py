"""The leaderboard of a setting at one sparsity: which method is best, by how much, is it
significant, at what training budget, and does it beat its controls.

`list_leaderboards(results)` returns one `Leaderboard` per setting and requested sparsity > 0, in
the order of settings and rising sparsities; `make_leaderboard(results, setting, sparsity)` makes
one. Its `rows` is a DataFrame with one row per network that is shown, best mean first, and the
columns below. Numbers are in the unit of the metric (points for accuracies); what is unknown is
NaN (or NA in nullable columns). Everything is rounded only where it is written.

What is shown, `role`:
    "method": competes for being the best, and has a `rank`.
    "control": random, shuffled, reinitialised, small_from_scratch; never competes, `rank` is NA.
    "baseline": dense, and dense_longer (the equal-budget control); at every sparsity, `rank` NA.

Columns:
    rank (Int64): 1 is the best; equal means share the smaller rank. NA for controls and baselines,
        and for methods of one seed beside methods of several. Where methods lack seeds that others
        have, ranks go by means that are adjusted for them (`comparisons.adjust_means`), while rows
        are in the order of the plain means.
    is_best (bool): the method that the others are compared with. is_adjusted (bool): whether the
        mean that counts for the rank is not the plain one.
    role (str), is_control (bool: role is not "method")
    series (str): the label. method, kind (unstructured, structured, control, baseline), family
        (a key of `method_styles.FAMILIES`, "" for dense), series_index (into `results.series`),
        cell (index into `results.cells`).
    sparsity_reached (float), expected (float): planned seeds, NaN where there is no plan.
    mean, low, high (float), n (int): the plain mean over n seeds and its 95 % interval by the
        variance model, not symmetric; low and high are NaN where n < 2.
    difference_to_best, difference_low, difference_high, p_best_adjusted (float): this method less
        the best one. NaN for the best itself, controls and baselines. The adjusted p pays for the
        choice of the best and (Holm) for all comparisons of the study with a best.
    separable_from_best (boolean): p_best_adjusted < 0.05; NA where it is not tested.
    separably_behind (boolean): separable from the best, and worse; NA as above.
    is_leading (bool): the best, or not separably behind it: what tables print bold.
    difference_to_dense, dense_low, dense_high, p_dense_adjusted (float), separable_from_dense
        (boolean): this network less the dense one; Holm over all comparisons of the study with it.
    own_epochs, total_epochs (float): of its trial up to this level; with the dense training that it
        starts from. train_macs (float): in total, as total_epochs; NaN for rows of before the
        column. train_seconds (float): likewise the time in training.
    compression (float): dense parameters over nonzero ones. theoretical_speedup (float): dense MACs
        over effective MACs. speedup (float): measured, batch 1; speedup_b256 (float).
    controls, controls_beaten (Int64): how many controls of its own it was tested against at this
        sparsity, and how many it is separably better than; NA for controls and baselines.
        beats_its_controls (boolean): all of them; NA where there are none. worse_than_control
        (boolean): separably worse than at least one.

Two methods with a bold (`is_leading`) row are not shown to differ; that is not "equal".
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.series import Setting
from analysis.statistics.comparisons import (
    EQUAL,
    adjust_means,
    compare_to_best,
    compare_to_controls,
    compare_to_dense,
    find_leaders,
    is_separable,
    is_separably_behind,
)
from analysis.statistics.control_methods import LONGER_DENSE, find_kind, list_candidates
from analysis.statistics.results import Results

TAKEN = {  # columns of `results.cells` and what they are called here
    "series": "series",
    "method": "method",
    "series_index": "series_index",
    "sparsity_reached": "sparsity_reached",
    "mean": "mean",
    "low": "low",
    "high": "high",
    "n": "n",
    "expected": "expected",
    "epochs": "own_epochs",
    "total_epochs": "total_epochs",
    "total_train_macs": "train_macs",
    "total_train_seconds": "train_seconds",
    "compression": "compression",
    "speedup_b1": "speedup",
    "speedup_b256": "speedup_b256",
}
TO_BEST = {
    "difference": "difference_to_best",
    "low": "difference_low",
    "high": "difference_high",
    "adjusted": "p_best_adjusted",
}
TO_DENSE = {
    "difference": "difference_to_dense",
    "low": "dense_low",
    "high": "dense_high",
    "adjusted": "p_dense_adjusted",
}


@dataclass(frozen=True)
class Leaderboard:
    """The leaderboard of a setting at one requested sparsity; the module says what `rows` has."""

    setting: Setting
    sparsity: float
    rows: pd.DataFrame


def list_leaderboards(results: Results) -> list[Leaderboard]:
    """A leaderboard per setting and requested sparsity at which something was measured."""
    return results.remember("leaderboards", lambda: _list_leaderboards(results))


def _list_leaderboards(results: Results) -> list[Leaderboard]:
    boards = []
    shown = results.cells["series_index"].isin(results.list_last_stages())
    cells = results.cells[shown & (results.cells["n"] > 0) & (results.cells["sparsity"] > 0)]
    for index, setting in enumerate(results.settings):
        for sparsity in sorted(cells.loc[cells["setting_index"] == index, "sparsity"].unique()):
            boards.append(make_leaderboard(results, setting, float(sparsity)))
    return boards


def make_leaderboard(results: Results, setting: Setting, sparsity: float) -> Leaderboard:
    """The leaderboard at a requested sparsity, 0.9 for 90 %."""
    rows = results.remember("leaderboard rows", lambda: _describe_cells(results))
    cells = results.cells
    here = cells.index[cells["setting_index"] == results.settings.index(setting)]
    rows = rows.loc[rows.index.intersection(here)]
    rows = rows[(rows["role"] == "baseline") | cells["sparsity"].loc[rows.index].eq(sparsity)]
    sign = 1 if results.metric.higher else -1
    ranked = rows["role"] == "method"
    if (ranked & (rows["n"] > 1)).any():
        ranked &= rows["n"] > 1
    competing = sign * adjust_means(results).reindex(rows.index).where(ranked)
    rank = competing.round(9).rank(ascending=False, method="min").astype("Int64")
    is_best = rows.index == (competing.idxmax() if ranked.any() else -1)
    gaps = (adjust_means(results).reindex(rows.index) - rows["mean"]).abs()
    rows = rows.assign(rank=rank, is_best=is_best, is_adjusted=gaps > EQUAL)
    rows = rows.assign(score=-sign * rows["mean"])
    # A baseline stands above a control, a control above a method of the same mean.
    rows = rows.sort_values(["score", "role", "series_index"], kind="stable")
    return Leaderboard(setting, sparsity, rows.drop(columns="score").reset_index(names="cell"))


def _describe_cells(results: Results) -> pd.DataFrame:
    """Every measured cell of a last stage with the columns of a leaderboard but the rank."""
    cells = results.cells
    last = cells["series_index"].isin(results.list_last_stages(dense=True))
    cells = cells[last & (cells["n"] > 0)]
    rows = pd.DataFrame(
        {
            name: cells[column] if column in cells.columns else np.nan
            for column, name in TAKEN.items()
        },
        index=cells.index,
    )
    rows["theoretical_speedup"] = _find_theoretical_speedup(results, cells)
    kinds = [find_kind(series.method, results.study.cards) for series in results.series]
    rows["kind"] = [kinds[index] for index in rows["series_index"]]
    rows["family"] = [results.series[index].family for index in rows["series_index"]]
    competes = rows["series_index"].isin(list_candidates(results))
    is_baseline = rows["method"].isin(["dense", LONGER_DENSE])
    rows["role"] = np.select([competes, is_baseline], ["method", "baseline"], "control")
    rows["is_control"] = ~competes
    rows["is_leading"] = rows.index.isin(list(find_leaders(results)))
    to_best = compare_to_best(results)
    rows = _join_comparison(rows, to_best, TO_BEST, "separable_from_best")
    behind = is_separably_behind(to_best, higher=results.metric.higher).astype("boolean")
    rows["separably_behind"] = behind.where(to_best["adjusted"].notna()).reindex(rows.index)
    rows = _join_comparison(rows, compare_to_dense(results), TO_DENSE, "separable_from_dense")
    return rows.join(_count_controls(results, rows.index[competes]))


def _find_theoretical_speedup(results: Results, cells: pd.DataFrame) -> pd.Series:
    """The MACs of the dense network of the setting over the effective MACs of each cell."""
    dense = [results.find_dense(setting) for setting in results.settings]
    macs = pd.Series([np.nan if cell is None else float(cell["macs"]) for cell in dense])
    effective = cells["effective_macs"].astype(float)
    return cells["setting_index"].map(macs) / effective.where(effective > 0)


def _join_comparison(
    rows: pd.DataFrame, compared: pd.DataFrame, names: dict[str, str], verdict: str
) -> pd.DataFrame:
    """Rows with the columns of a comparison under other names, and whether they are separable."""
    chosen = compared.reindex(rows.index)
    columns = chosen[list(names)].rename(columns=names)
    return rows.join(columns.assign(**{verdict: is_separable(chosen["adjusted"])}))


def _count_controls(results: Results, cells: pd.Index) -> pd.DataFrame:
    """For each of some methods' cells, how many of its controls it was tested against and beats."""
    compared = compare_to_controls(results)
    tested = compared[compared["p"].notna() & compared["cell"].isin(cells)]
    gain = tested["difference"] if results.metric.higher else -tested["difference"]
    separable = is_separable(tested["adjusted"]).fillna(value=False).astype(bool)
    counts = pd.DataFrame(
        {
            "cell": tested["cell"],
            "controls": 1,
            "controls_beaten": (separable & (gain > 0)).astype(int),
            "worse": (separable & (gain < 0)).astype(int),
        }
    )
    sums = counts.groupby("cell").sum().reindex(cells).fillna(0).astype("Int64")
    has_some = sums["controls"] > 0
    beats = (sums["controls"] == sums["controls_beaten"]).astype("boolean")
    return sums[["controls", "controls_beaten"]].assign(
        beats_its_controls=beats.where(has_some),
        worse_than_control=(sums["worse"] > 0).astype("boolean").where(has_some),
    )
