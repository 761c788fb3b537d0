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


def _join_plan(cells: pd.DataFrame, rows: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """Add `expected`, and cells with n = 0 for what is planned and not measured."""
    asked = plan.explode("sparsities").rename(columns={"sparsities": "sparsity"})
    asked["sparsity"] = asked["sparsity"].astype(float).fillna(0.0).round(9)
    expected = asked.groupby(PLANNED)["seed"].nunique().rename("expected").reset_index()
    joined = cells.merge(expected, on=PLANNED, how="left")

    # Stages are only known from rows: of the same method and knobs, else of none, and then it is the usual one.
    stages = rows[[*SETTING, "method", "knobs", "stage"]].drop_duplicates()
    wanted = expected.merge(stages, on=[*SETTING, "method", "knobs"], how="left").fillna({"stage": "final"})
    both = wanted.merge(cells[[*PLANNED, "stage"]].drop_duplicates(), how="left", indicator=True)
    absent = both[both.pop("_merge") == "left_only"].assign(n=0)
    if absent.empty:
        return joined
    absent["level"] = pd.array([pd.NA] * len(absent), dtype="Int64")
    absent[["mean", "half_width"]] = np.nan
    return pd.concat([joined, absent[list(joined.columns)]], ignore_index=True) if len(joined) else absent
