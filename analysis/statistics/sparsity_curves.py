"""A method's accuracy over sparsity as one number: the area under its curve, and its critical
sparsity; both of each seed, then with intervals and tests between methods.

Also the values of iterated methods between two measured levels.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.series import Series, Setting
from analysis.statistics.adjusted_means import adjust_for_seeds
from analysis.statistics.control_methods import list_candidates
from analysis.statistics.fitted_tables import FittedTables, pair_with_best
from analysis.statistics.results import Results

TOLERANCE = 1.0  # points of accuracy that a pruned network may lose
SUMMARY = ["setting_index", "series_index", "mean", "low", "high", "n"]


@dataclass(frozen=True)
class CriticalLevel:
    """The largest measured sparsity up to which a method loses at most `TOLERANCE` points in the
    mean, there and at every smaller measured one.

    cell: its index in `results.cells`. requested: the sparsity that was requested, or where the
    method's own rule decides, what was reached: what methods are compared by. following: the next
    larger measured sparsity, None where it is the last.
    """

    cell: int
    sparsity: float
    requested: float
    following: float | None


def find_critical_level(results: Results, setting: Setting, series: Series) -> CriticalLevel | None:
    """The critical level of a method; None where it loses more at its smallest sparsity or there is
    no dense network to compare with."""
    cells = results.measured_cells(setting, series)
    cells = cells[cells["drop_n"] > 0]
    loss = -cells["drop"] if results.metric.higher else cells["drop"]
    within = cells[(loss <= TOLERANCE).cummin()]
    if within.empty:
        return None
    cell = within.iloc[-1]
    above = cells.loc[cells["place"] > cell["place"], "place"]
    place = float(cell["place"])
    requested = place if pd.isna(cell["sparsity"]) else float(cell["sparsity"])
    following = float(above.min()) if len(above) else None
    return CriticalLevel(int(str(cell.name)), place, requested, following)


def compare_areas(results: Results) -> pd.DataFrame:
    """The area under every method's curve: the mean of the metric over -log10(density), by the
    trapezoid rule between the measured sparsities of each seed; last stages only.

    One row per setting and method with at least two sparsities: `SUMMARY`, `start` and `end` (the
    lowest and the highest sparsity, as requested), and of a method that competes its area less that
    of the best of the same range (`is_best`): `difference`, `difference_low`, `difference_high`,
    `p` and `adjusted`. Only seeds count that have all sparsities, so that areas are over the same
    range.
    """
    return results.remember("areas", lambda: _compare_areas(results))


def compare_critical_sparsities(results: Results) -> pd.DataFrame:
    """The critical sparsity of every method: for each seed, where its curve crosses a loss of
    `TOLERANCE` points against the dense network of that seed, linear in log density between the
    last level within it (or the dense network) and the next.

    One row per setting and method: `SUMMARY` (fractions; means and tests are of log density),
    `at_least` (whether a seed stays within the tolerance at its largest sparsity, which then counts
    as its critical one; it has neither interval nor test then), and of a method that competes,
    against the best one (`is_best`): `density_ratio`, how many times the density of the best it
    needs, with its interval `ratio_low` and `ratio_high`, `p` and `adjusted`.
    """
    return results.remember("critical", lambda: _compare_critical_sparsities(results))


def interpolate_between_levels(results: Results, sparsities: Iterable[float]) -> pd.DataFrame:
    """Iterated methods at sparsities between two of their own levels: of each seed linear in log
    density, then over seeds, with the variances of the setting's other cells.

    One row per setting, method (last stage) and sparsity that it did not measure: `SUMMARY` and
    `sparsity`. Nothing outside the measured range: nothing is extrapolated.
    """
    parts: dict[tuple[int, int, float], dict[int, float]] = {}
    for setting_index, setting in enumerate(results.settings):
        for series_index in results.list_last_stages():
            cells = results.cells_of(setting, results.series[series_index])
            if not cells["iterated"].any():
                continue
            for sparsity in sorted(set(sparsities) - set(cells["sparsity"])):
                values = interpolate_seeds(results, setting, results.series[series_index], sparsity)
                if values:
                    parts[setting_index, series_index, sparsity] = values
    if not parts:
        return pd.DataFrame(columns=[*SUMMARY, "sparsity"])
    tidy = _make_tidy(parts)
    tidy["table"] = [key[0] for key in tidy["cell"]]
    measured = results.values.rename(columns={"setting_index": "table"})
    both = pd.concat([measured[["cell", "seed", "value", "table"]], tidy], ignore_index=True)
    summary = FittedTables(both, images=results.images).summarise()
    chosen = summary.loc[[position for position in summary.index if position in parts]]
    keys = pd.DataFrame(list(chosen.index), columns=["setting_index", "series_index", "sparsity"])
    return keys.join(chosen.reset_index(drop=True))[[*SUMMARY, "sparsity"]]


def interpolate_seeds(
    results: Results, setting: Setting, series: Series, sparsity: float
) -> dict[int, float]:
    """The metric at a sparsity between two measured ones, of each seed whose range holds it."""
    seeds = results.seed_values(results.measured_cells(setting, series))
    x = -np.log10(1 - sparsity)
    values = {}
    for seed, group in seeds.groupby("seed"):
        places, of_seed = _find_curve(group)
        if len(places) > 1 and places[0] - 1e-12 <= x <= places[-1] + 1e-12:
            values[int(str(seed))] = float(np.interp(x, places, of_seed))
    return values


def _compare_areas(results: Results) -> pd.DataFrame:
    areas: dict[tuple[int, int], dict[int, float]] = {}
    ranges: dict[tuple[int, int], tuple[float, float]] = {}
    for key, cells in _list_curves(results):
        if len(cells) < 2 or cells["place"].iloc[0] == cells["place"].iloc[-1]:
            continue
        seeds = results.seed_values(cells)
        values = seeds.pivot(index="seed", columns="cell", values="value")
        values = values[list(cells.index)].dropna()
        places = seeds.pivot(index="seed", columns="cell", values="place")
        places = places.loc[values.index, list(cells.index)]
        if values.empty:
            continue
        x = -np.log10(1 - places.to_numpy(dtype=float))
        means = np.trapezoid(values.to_numpy(dtype=float), x, axis=1) / (x[:, -1] - x[:, 0])
        areas[key] = dict(zip(map(int, values.index), map(float, means), strict=True))
        ends = cells["sparsity"].astype(float).fillna(cells["place"]).iloc[[0, -1]]
        ranges[key] = (float(ends.iloc[0]), float(ends.iloc[1]))
    columns = [*SUMMARY, "start", "end", "is_best"]
    columns += ["difference", "difference_low", "difference_high"]
    if not areas:
        return pd.DataFrame(columns=[*columns, "p", "adjusted"])
    tidy = _make_tidy(areas)
    tidy["table"] = [(key[0], *ranges[key]) for key in tidy["cell"]]
    images = results.images
    if images is not None:
        images = {table: images[table[0]] for table in tidy["table"].unique()}
    fitted = FittedTables(tidy, images=images)
    frame = _summarise(fitted, areas)
    frame["start"], frame["end"] = zip(*(ranges[key] for key in frame.index), strict=True)
    frame["group"] = [(key[0], *ranges[key]) for key in frame.index]
    compared = _compare_with_best(results, fitted, frame, tidy, higher=results.metric.higher)
    compared = compared.rename(columns={"low": "difference_low", "high": "difference_high"})
    names = ["is_best", "difference", "difference_low", "difference_high", "p", "adjusted"]
    return frame.join(compared[names]).drop(columns="group").reset_index(drop=True)


def _compare_critical_sparsities(results: Results) -> pd.DataFrame:
    crossings: dict[tuple[int, int], dict[int, float]] = {}
    censored: set[tuple[int, int]] = set()
    sign = 1 if results.metric.higher else -1
    for key, cells in _list_curves(results):
        of_seed = {}
        for seed, group in results.seed_values(cells).groupby("seed"):
            dense = group["dense"].iloc[0]
            if pd.isna(dense) or not group["place"].notna().any():
                continue
            places, values = _find_curve(group)
            x, is_censored = find_crossing(places, sign * (dense - values))
            of_seed[int(str(seed))] = x
            if is_censored:
                censored.add(key)
        if of_seed:
            crossings[key] = of_seed
    columns = [*SUMMARY, "at_least", "is_best", "density_ratio", "ratio_low", "ratio_high"]
    columns += ["p", "adjusted"]
    if not crossings:
        return pd.DataFrame(columns=columns)
    tidy = _make_tidy(crossings)
    tidy["table"] = [key[0] for key in tidy["cell"]]
    fitted = FittedTables(tidy)
    frame = _summarise(fitted, crossings)
    frame["at_least"] = [key in censored for key in frame.index]
    frame["group"] = frame["setting_index"]
    compared = _compare_with_best(results, fitted, frame, tidy, higher=True)
    ratios = {"density_ratio": "difference", "ratio_low": "high", "ratio_high": "low"}
    for name, column in ratios.items():
        frame[name] = 10 ** -compared[column].reindex(frame.index).astype(float)
    frame = frame.join(compared[["is_best", "p", "adjusted"]])
    # Nothing shows that a method goes less far than another one, where its end was not reached.
    unknown = ["low", "high", *ratios, "p", "adjusted"]
    frame.loc[frame["at_least"], unknown] = np.nan
    for column in ("mean", "low", "high"):
        frame[column] = 1 - 10 ** -frame[column].clip(lower=0)
    return frame.drop(columns="group").reset_index(drop=True)


def find_crossing(places: np.ndarray, losses: np.ndarray) -> tuple[float, bool]:
    """Where a curve of losses over rising -log10(density) last crosses the tolerance, linear
    between its points and from no loss at density 1; and whether it stays within it to the end."""
    x, loss = np.concatenate([[0.0], places]), np.concatenate([[0.0], losses])
    last = int(np.flatnonzero(loss <= TOLERANCE)[-1])
    if last == len(x) - 1:
        return float(x[-1]), True
    part = (TOLERANCE - loss[last]) / (loss[last + 1] - loss[last])
    return float(x[last] + part * (x[last + 1] - x[last])), False


def _list_curves(results: Results) -> list[tuple[tuple[int, int], pd.DataFrame]]:
    """The measured, pruned cells of every last stage, by positions of setting and series."""
    curves = []
    for setting_index, setting in enumerate(results.settings):
        for series_index in results.list_last_stages():
            cells = results.measured_cells(setting, results.series[series_index])
            cells = cells[cells["place"] > 0]
            if len(cells):
                curves.append(((setting_index, series_index), cells))
    return curves


def _make_tidy(parts: Mapping[Any, Mapping[int, float]]) -> pd.DataFrame:
    """Values by cell and seed as one row each."""
    rows = [(key, seed, value) for key, values in parts.items() for seed, value in values.items()]
    frame = pd.DataFrame({"seed": [row[1] for row in rows], "value": [row[2] for row in rows]})
    frame["cell"] = pd.Series([row[0] for row in rows], dtype=object)
    return frame


def _summarise(fitted: FittedTables, parts: Mapping[tuple[int, int], object]) -> pd.DataFrame:
    """The summary of every key of `parts`, indexed by it, with its setting and series."""
    frame = fitted.summarise().reindex(pd.Index(list(parts), tupleize_cols=False))
    frame["setting_index"], frame["series_index"] = zip(*parts, strict=True)
    return frame


def _compare_with_best(
    results: Results,
    fitted: FittedTables,
    frame: pd.DataFrame,
    tidy: pd.DataFrame,
    *,
    higher: bool,
) -> pd.DataFrame:
    """Every method that competes, less the best of its group (`is_best`), which is chosen by the
    means of `tidy`, adjusted where seeds are missing; indexed as `frame`."""
    competes = frame["series_index"].isin(list_candidates(results)) & frame["mean"].notna()
    candidates = frame.loc[competes, ["mean", "n", "group"]]
    numbers = pd.Series(pd.factorize(candidates["group"])[0], candidates.index)
    candidates["mean"] = adjust_for_seeds(tidy, numbers)
    pairs = pair_with_best(candidates.assign(group=numbers), higher=higher)
    compared = fitted.compare(pairs).reindex(frame.index)
    return compared.assign(is_best=[key in set(pairs["rival"]) for key in frame.index])


def _find_curve(group: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """-log10(density) and values of one seed, in rising order."""
    ordered = group.dropna(subset=["place"]).sort_values("place")
    places, values = (ordered[column].to_numpy(dtype=float) for column in ("place", "value"))
    return -np.log10(1 - places), values
