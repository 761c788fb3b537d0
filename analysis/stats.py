"""Means and intervals over seeds.

All intervals are 95 % Student t-intervals: at n = 3 seeds they cover 95 %, where a percentile bootstrap covers 74 %
and 1.96 standard errors cover 80 %. One seed has no interval.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

LEVEL = 0.95
SETTING = ["dataset", "model", "recipe"]  # what is held fixed in one figure
SERIES = ["method", "knobs", "stage"]  # what is one line in it
CELL = [*SETTING, "method", "knobs", "sparsity", "level", "stage"]
PLANNED = [*SETTING, "method", "knobs", "sparsity"]  # a plan knows neither levels nor stages
SHIFT = 0.0005  # a reached sparsity counts as another one than the requested where it is more than 0.05 points off


@dataclass(frozen=True)
class Interval:
    """A mean of `n` values and the half width of its 95 % interval; None where n = 1."""

    mean: float
    half_width: float | None
    n: int


def t_interval(values: Iterable[float]) -> Interval:
    """The 95 % Student t-interval of the mean of independent values.

    Raises:
        ValueError: there are no values, or one is not finite.
    """
    numbers = np.asarray(list(values), dtype=float)
    if not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError(f"an interval needs at least one value, all finite, but got {numbers.tolist()}")
    mean, n = float(numbers.mean()), len(numbers)
    return Interval(mean, float(_half_width(numbers.std(ddof=1), n)) if n > 1 else None, n)


def paired_difference(a: pd.Series, b: pd.Series) -> Interval:
    """The mean of a - b over the seeds that both have, with its 95 % interval; both are indexed by seed.

    Pairing removes what a seed does to both (initial weights, order of the data), so that this interval is usually
    narrower than that of two separate means.

    Raises:
        ValueError: they share no seed, or a seed occurs twice.
    """
    for series in (a, b):
        if series.index.has_duplicates:
            raise ValueError(f"a seed counts once, but got seeds {sorted(series.index)}")
    difference = (a.astype(float) - b.astype(float)).dropna()
    if difference.empty:
        raise ValueError(f"a paired difference needs a common seed, but got {sorted(a.index)} and {sorted(b.index)}")
    return t_interval(difference)


def summarise(rows: pd.DataFrame, metric: str, *, plan: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per cell (`CELL`) with `mean`, `half_width`, `n` and `expected`, in the order of `CELL`.

    `half_width` is NaN where n < 2. `expected` is the number of seeds in the plan (NaN without a plan); planned cells
    that nothing was measured of are there with n = 0 and a NaN mean. Rows without a value of the metric do not count.
    Where a method's own rule decides how much it prunes, `sparsity` is NaN and the level tells cells apart; every level
    that one seed has is expected of every planned seed.

    Raises:
        ValueError: `rows` has no such column.
    """
    if metric not in rows.columns:
        raise ValueError(f"rows have no column '{metric}'")
    # A study may ask for 0.1 + 0.2 in one place and 0.3 in another.
    kept = rows.assign(sparsity=rows["sparsity"].round(9), value=rows[metric].astype(float)).dropna(subset=["value"])
    by_seed = kept.groupby([*CELL, "seed"], dropna=False)["value"].mean().reset_index()
    cells = by_seed.groupby(CELL, dropna=False)["value"].agg(["mean", "std", "count"]).reset_index()
    cells["n"] = cells.pop("count").astype(int)
    cells["half_width"] = _half_width(cells.pop("std").to_numpy(), cells["n"].to_numpy())
    cells["expected"] = np.nan
    if plan is not None and len(plan):
        cells = _join_plan(cells.drop(columns="expected"), rows, plan)
    return cells.sort_values(CELL, ignore_index=True)[[*CELL, "mean", "half_width", "n", "expected"]]


def _half_width(std: np.ndarray | float, n: np.ndarray | int) -> np.ndarray:
    """Half width of the interval of a mean from the sample standard deviation; NaN where n < 2."""
    freedom = np.where(np.asarray(n) > 1, np.asarray(n) - 1, np.nan)
    return np.asarray(stdtrit(freedom, (1 + LEVEL) / 2) * std / np.sqrt(freedom + 1))


def find_places(cells: pd.DataFrame) -> pd.Series:
    """Where cells stand on an axis of sparsity: at the requested one, or at the mean of `sparsity_reached` where that
    is more than `SHIFT` off or nothing was requested; NaN where nothing is known of either."""
    asked, reached = cells["sparsity"].astype(float), cells["sparsity_reached"].astype(float)
    return asked.where((reached - asked).abs().le(SHIFT) | reached.isna(), reached)


def _join_plan(cells: pd.DataFrame, rows: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """Add `expected`, and cells with n = 0 for what is planned and not measured."""
    asked = plan.explode("sparsities").rename(columns={"sparsities": "sparsity"})
    asked["sparsity"] = asked["sparsity"].astype(float).round(9)
    expected = asked.groupby(PLANNED, dropna=False)["seed"].nunique().rename("expected").reset_index()
    joined = cells.merge(expected, on=PLANNED, how="left")

    # Stages are only known from rows: of the same method and knobs, else of none, and then it is the usual one. So are
    # the levels of a method that sets its own sparsities; those of others follow from the sparsity.
    same = [*SETTING, "method", "knobs"]
    own = expected["sparsity"].isna()
    stages = rows[[*same, "stage"]].drop_duplicates()
    levels = rows.loc[rows["sparsity"].isna(), [*same, "level", "stage"]].drop_duplicates()
    wanted = expected[~own].merge(stages, on=same, how="left").fillna({"stage": "final"})
    ruled = expected[own].merge(levels, on=same, how="left").fillna({"stage": "final"})
    # A requested cell has no column for its level: the concatenation leaves it empty.
    parts = [_drop_known(wanted, cells, [*PLANNED, "stage"]), _drop_known(ruled, cells, CELL)]
    absent = pd.concat(parts, ignore_index=True).assign(n=0, mean=np.nan, half_width=np.nan)
    if absent.empty:
        return joined
    absent["level"] = absent["level"].astype("Int64")
    return pd.concat([joined, absent[list(joined.columns)]], ignore_index=True) if len(joined) else absent


def _drop_known(wanted: pd.DataFrame, cells: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The wanted cells that are not among the measured ones."""
    both = wanted.merge(cells[columns].drop_duplicates(), on=columns, how="left", indicator=True)
    return both[both.pop("_merge") == "left_only"]
