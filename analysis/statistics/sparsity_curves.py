"""A method's accuracy over sparsity: its critical sparsity, the area under its curve, and values
between two measured levels."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.series import Series, Setting
from analysis.statistics.intervals_and_tests import Interval, t_interval
from analysis.statistics.results import Results

TOLERANCE = 1.0  # points of accuracy that a pruned network may lose


@dataclass(frozen=True)
class CriticalSparsity:
    """The largest measured sparsity at which a method loses at most `TOLERANCE` points, and what it
    loses there.

    drop: the mean paired difference to dense. following: the next larger measured sparsity, None
    where it is the last.
    """

    sparsity: float
    drop: Interval
    following: float | None


def find_critical_sparsity(
    results: Results, setting: Setting, series: Series
) -> CriticalSparsity | None:
    """The critical sparsity of a method; None where it loses more everywhere or nothing is paired
    with dense."""
    cells = results.measured_cells(setting, series)
    cells = cells[cells["drop_n"] > 0]
    loss = -cells["drop"] if results.metric.higher else cells["drop"]
    within = cells[loss <= TOLERANCE]
    if within.empty:
        return None
    cell = within.iloc[-1]
    above = cells.loc[cells["place"] > cell["place"], "place"]
    half = None if pd.isna(cell["drop_half_width"]) else float(cell["drop_half_width"])
    drop = Interval(float(cell["drop"]), half, int(cell["drop_n"]))
    return CriticalSparsity(float(cell["place"]), drop, float(above.min()) if len(above) else None)


def find_area_under_curve(
    results: Results, setting: Setting, series: Series
) -> tuple[Interval, float, float] | None:
    """The mean of the metric over -log10(density), by the trapezoid rule over the measured
    sparsities of each seed.

    Returns: the interval over seeds, and the lowest and highest sparsity; None where fewer than two
    sparsities were measured. Only seeds count that have all of them, so that areas are over the
    same range.
    """
    cells = results.measured_cells(setting, series)
    if len(cells) < 2 or cells["place"].iloc[0] == cells["place"].iloc[-1]:
        return None
    seeds = results.seed_values(cells)
    values = seeds.pivot(index="seed", columns="cell", values="value")[list(cells.index)].dropna()
    if values.empty:
        return None
    places = seeds.pivot(index="seed", columns="cell", values="place")
    places = places.loc[values.index, list(cells.index)]
    x = -np.log10(1 - places.to_numpy(dtype=float))
    means = np.trapezoid(values.to_numpy(dtype=float), x, axis=1) / (x[:, -1] - x[:, 0])
    return t_interval(means), float(cells["place"].iloc[0]), float(cells["place"].iloc[-1])


def interpolate_between_levels(
    results: Results, setting: Setting, series: Series, sparsity: float
) -> Interval | None:
    """The metric at a sparsity between two measured ones, linear in log density, for each seed and
    then over seeds.

    None outside the measured range: nothing is extrapolated.
    """
    seeds = results.seed_values(results.measured_cells(setting, series))
    x = -np.log10(1 - sparsity)
    interpolated = []
    for _, group in seeds.groupby("seed"):
        places, values = _find_curve(group)
        if len(places) > 1 and places[0] - 1e-12 <= x <= places[-1] + 1e-12:
            interpolated.append(float(np.interp(x, places, values)))
    return t_interval(interpolated) if interpolated else None


def _find_curve(group: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """-log10(density) and values of one seed, in rising order."""
    ordered = group.dropna(subset=["place"]).sort_values("place")
    places, values = (ordered[column].to_numpy(dtype=float) for column in ("place", "value"))
    return -np.log10(1 - places), values
