"""Rows aggregated over seeds: one cell per data set, model, recipe, method, knobs, sparsity, level
and stage, with its mean, interval and number of seeds."""

import numpy as np
import pandas as pd

from analysis.columns import CELL, METHOD_IN_SETTING, PLANNED
from analysis.statistics.intervals_and_tests import half_width

# A reached sparsity counts as another one than the requested where it is more than 0.05 points off.
SHIFT = 0.0005
SIZES = [  # columns of the rows whose mean over seeds every cell has
    "test_top5",
    "sparsity_reached",
    "params",
    "prunable",
    "nonzero",
    "bytes",
    "macs",
    "effective_macs",
    "compression",
    "latency_ms_b1",
    "speedup_b1",
    "latency_ms_b256",
    "speedup_b256",
    "epochs",
    "total_epochs",
    "train_macs",
    "total_train_macs",
    "train_seconds",
    "total_train_seconds",
]


def number_cells(rows: pd.DataFrame) -> pd.Series:
    """The number of the cell that each row belongs to, from 0 in the order of appearance."""
    # A study may ask for 0.1 + 0.2 in one place and 0.3 in another.
    keys = rows[CELL].assign(sparsity=rows["sparsity"].round(9))
    return keys.groupby(CELL, dropna=False, sort=False).ngroup()


def gather_values(rows: pd.DataFrame, column: str, codes: pd.Series | None = None) -> pd.DataFrame:
    """One row per cell and seed that has a value of the column: `code` (see `number_cells`),
    `seed`, `value`.

    A seed counts once, with the mean of its rows.

    Raises:
        ValueError: `rows` has no such column.
    """
    if column not in rows.columns:
        raise ValueError(f"rows have no column '{column}'")
    codes = number_cells(rows) if codes is None else codes
    values = pd.DataFrame(
        {"code": codes, "seed": rows["seed"], "value": rows[column].astype(float)}
    )
    values = values.dropna(subset=["value"])
    if values.duplicated(["code", "seed"]).any():
        values = (
            values.groupby(["code", "seed"], dropna=False, sort=False)["value"].mean().reset_index()
        )
    return values.reset_index(drop=True)


def aggregate_cells(
    rows: pd.DataFrame,
    metric: str,
    *,
    plan: pd.DataFrame | None = None,
    codes: pd.Series | None = None,
) -> pd.DataFrame:
    """One row per cell (`CELL`) with `mean`, `half_width`, `n`, `expected`, `code` and the mean
    over seeds of `SIZES`.

    `half_width` is NaN where n < 2. `expected` is the number of seeds in the plan (NaN without a
    plan); planned cells that nothing was measured of are there with n = 0 and a NaN mean. Rows
    without a value of the metric do not count. Where a method's own rule decides how much it
    prunes, `sparsity` is NaN and the level tells cells apart; every level that one seed has is
    expected of every planned seed. `code` is that of `number_cells`, -1 where there are no rows.

    Raises:
        ValueError: `rows` has no such column.
    """
    codes = number_cells(rows) if codes is None else codes
    values = gather_values(rows, metric, codes)
    means = values.groupby("code")["value"].agg(["mean", "std", "count"])
    cells = _identify(rows, codes).merge(means, left_on="code", right_index=True, how="inner")
    cells["n"] = cells.pop("count").astype(int)
    cells["half_width"] = half_width(cells.pop("std").to_numpy(), cells["n"].to_numpy())
    cells["expected"] = np.nan
    if plan is not None and len(plan):
        cells = _join_plan(cells.drop(columns="expected"), rows, plan)
    sizes = [column for column in SIZES if column in rows.columns]
    averages = rows[sizes].astype(float).groupby(codes).mean()
    cells = cells.merge(averages, left_on="code", right_index=True, how="left")
    columns = [*CELL, "mean", "half_width", "n", "expected", "code", *sizes]
    return cells.sort_values(CELL, ignore_index=True)[columns]


def find_axis_positions(cells: pd.DataFrame) -> pd.Series:
    """Where cells stand on an axis of sparsity: at the requested sparsity, or at the mean of
    `sparsity_reached` where that is more than `SHIFT` off or nothing was requested; NaN where
    nothing is known of either, and where no weight is left: an axis of log density ends before."""
    requested = cells["sparsity"].astype(float)
    reached = cells["sparsity_reached"].astype(float)
    as_requested = (reached - requested).abs().le(SHIFT) | reached.isna()
    place = requested.where(as_requested, reached)
    return place.where(place < 1)


def find_iterated_methods(
    rows: pd.DataFrame, plan: pd.DataFrame | None, *, codes: pd.Series | None = None
) -> pd.DataFrame:
    """For every method with its knobs in every setting, whether one of its trials measures several
    levels: `iterated`."""
    codes = number_cells(rows) if codes is None else codes
    cells = _identify(rows, codes).set_index("code")
    # The stages of a level count once.
    levels = cells.groupby(["sparsity", "level"], dropna=False).ngroup()
    measured = pd.DataFrame(
        {"key": rows["key"].factorize()[0], "level": levels.loc[codes].to_numpy(), "code": codes}
    ).drop_duplicates(["key", "level"])
    several = measured.loc[measured.groupby("key")["level"].transform("size") > 1, "code"]
    cells["iterated"] = cells.index.isin(several) | cells["sparsity"].isna()
    parts = [cells]
    if plan is not None and len(plan):
        iterated = [
            isinstance(sparsities, list) and len(sparsities) != 1
            for sparsities in plan["sparsities"]
        ]
        parts.append(plan.assign(iterated=iterated))
    both = pd.concat([part[[*METHOD_IN_SETTING, "iterated"]] for part in parts])
    return both.groupby(METHOD_IN_SETTING)["iterated"].any().reset_index()


def _identify(rows: pd.DataFrame, codes: pd.Series) -> pd.DataFrame:
    """What each cell is, by its code."""
    first = ~codes.duplicated()
    return rows.loc[first, CELL].assign(
        sparsity=rows.loc[first, "sparsity"].round(9), code=codes[first]
    )


def _count_planned(plan: pd.DataFrame) -> pd.DataFrame:
    """`PLANNED` and `expected`, the number of seeds that are planned of it."""
    number = plan.groupby(METHOD_IN_SETTING).ngroup()
    requested = pd.DataFrame(
        {"number": number, "seed": plan["seed"], "sparsity": plan["sparsities"]}
    ).explode("sparsity")
    requested["sparsity"] = requested["sparsity"].astype(float).round(9)
    groups = requested.groupby(["number", "sparsity"], dropna=False)
    counts = groups["seed"].nunique().rename("expected").reset_index()
    names = plan[METHOD_IN_SETTING].assign(number=number).drop_duplicates("number")
    return counts.merge(names, on="number")[[*PLANNED, "expected"]]


def _join_plan(cells: pd.DataFrame, rows: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """Add `expected`, and cells with n = 0 for what is planned and not measured."""
    expected = _count_planned(plan)
    joined = cells.merge(expected, on=PLANNED, how="left")

    # Stages are only known from rows: those of the same method and knobs, else the usual one. The
    # same holds for the levels of a method whose own rule decides the sparsity; those of others
    # follow from the sparsity.
    own = expected["sparsity"].isna()
    stages = rows[[*METHOD_IN_SETTING, "stage"]].drop_duplicates()
    levels = rows.loc[rows["sparsity"].isna(), [*METHOD_IN_SETTING, "level", "stage"]]
    requested = expected[~own].merge(stages, on=METHOD_IN_SETTING, how="left")
    ruled = expected[own].merge(levels.drop_duplicates(), on=METHOD_IN_SETTING, how="left")
    requested, ruled = requested.fillna({"stage": "final"}), ruled.fillna({"stage": "final"})
    # A requested cell has no column for its level: the concatenation leaves it empty.
    parts = [
        _drop_measured(requested, cells, [*PLANNED, "stage"]),
        _drop_measured(ruled, cells, CELL),
    ]
    absent = pd.concat(parts, ignore_index=True)
    absent = absent.assign(n=0, mean=np.nan, half_width=np.nan, code=-1)
    if absent.empty:
        return joined
    absent["level"] = absent["level"].astype("Int64")
    if joined.empty:
        return absent
    return pd.concat([joined, absent[list(joined.columns)]], ignore_index=True)


def _drop_measured(wanted: pd.DataFrame, cells: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The wanted cells that are not among the measured ones."""
    both = wanted.merge(cells[columns].drop_duplicates(), on=columns, how="left", indicator=True)
    return both[both.pop("_merge") == "left_only"]
