"""Means as they would be had every cell of a group all seeds of the group: what the best is chosen
by. Else a method that failed with a hard seed would look better for having failed."""

import numpy as np
import pandas as pd


def adjust_for_seeds(values: pd.DataFrame, groups: pd.Series) -> pd.Series:
    """The mean of every cell less the mean effect of the seeds that it has, by least squares: a
    value is the sum of an effect of its cell and one of its seed.

    Where all cells of a group have the same seeds these are the plain means, to the last bit.
    Between cells that no chain of shared seeds links, nothing is adjusted.

    Args:
        values: one row per cell and seed: `cell`, `seed`, `value`.
        groups: the group of each cell that counts, by cell.
    """
    known = values[values["cell"].isin(groups.index)].dropna(subset=["value"])
    means = known.groupby("cell")["value"].mean()
    group_of = known["cell"].map(groups)
    seeds = known.groupby(group_of)["seed"].transform("nunique")
    lacking = known.groupby("cell")["seed"].transform("nunique") < seeds
    is_partial = lacking.groupby(group_of).transform("any")
    for _, part in known[is_partial].groupby(group_of[is_partial]):
        wide = part.pivot(index="cell", columns="seed", values="value")
        means.loc[wide.index] = _adjust_table(wide.to_numpy(dtype=float))
    return means.reindex(groups.index)


def _adjust_table(table: np.ndarray) -> np.ndarray:
    """The adjusted mean of every row of a table of cells and seeds, NaN where a seed is missing."""
    seen = ~np.isnan(table)
    share = seen / seen.sum(1, keepdims=True)
    means = np.asarray(np.nansum(table, 1) / seen.sum(1))
    if not np.isfinite(means).all():
        return means
    deviations = np.where(seen, table - means[:, None], 0.0)
    normal = np.diag(seen.sum(0).astype(float)) - seen.T.astype(float) @ share
    effects = np.linalg.pinv(normal, hermitian=True) @ deviations.sum(0)
    return np.asarray(means - share @ effects)
