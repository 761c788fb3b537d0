"""What a study measured of one metric, ready for figures and tables: cells with their intervals,
the values of single seeds, and differences to the dense network."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from analysis.columns import METHOD_IN_SETTING, SERIES, SETTING
from analysis.metrics import Metric, find_metric
from analysis.reading.load import Study
from analysis.reading.size_of_test_set import find_test_images
from analysis.series import Series, Setting, find_series, find_settings, rank_stage, select_rows
from analysis.statistics.aggregate import (
    aggregate_cells,
    find_axis_positions,
    find_iterated_methods,
    gather_values,
    number_cells,
)
from analysis.statistics.fitted_tables import FittedTables
from analysis.statistics.training_budget import find_training_totals

Made = TypeVar("Made")


@dataclass(frozen=True)
class Results:
    """One metric of a study.

    cells: the columns of `aggregate.aggregate_cells`, and `series` (its label), `place`
        (`aggregate.find_axis_positions`), `iterated` (whether its trials measure several levels),
        `setting_index` and `series_index` (positions in `settings` and `series`), the 95 % interval
        of the mean by the variance model of its setting, `low` and `high` (NaN where n < 2), and
        the difference to the dense network: `drop`, its interval `drop_low` and `drop_high`,
        `drop_n` (seeds behind it), `drop_paired` (by seed) and `drop_p`, before any correction.
    values: one row per measured cell and seed: `cell` (a position in cells), `setting_index`,
        `series_index`, `seed`, `value`, `place` (that of the cell; the sparsity that this seed
        reached where the cell stands at a reached one), `dense` (the dense network's value in the
        same setting with the same seed, NaN where there is none).
    Both are in the order of settings, series, sparsities and levels.

    fitted: the variance models, one per setting, by the index of the cells. images: how many images
        the accuracies of each setting are shares of, 0 where that is unknown; None for other
        metrics.
    """

    study: Study
    metric: Metric
    cells: pd.DataFrame
    values: pd.DataFrame
    settings: tuple[Setting, ...]
    series: tuple[Series, ...]
    fitted: FittedTables
    images: dict[Hashable, int] | None

    def cells_of(
        self, setting: Setting | None = None, series: Series | None = None
    ) -> pd.DataFrame:
        """The cells of a setting, of a series, or of both, also those without a value."""
        setting_index = None if setting is None else self.settings.index(setting)
        series_index = None if series is None else self.series.index(series)
        if setting_index is not None and series_index is not None:
            start, end = self._spans.get((setting_index, series_index), (0, 0))
            return self.cells.iloc[start:end]
        cells = self.cells
        if setting_index is not None:
            cells = cells[cells["setting_index"] == setting_index]
        return cells if series_index is None else cells[cells["series_index"] == series_index]

    def measured_cells(self, setting: Setting, series: Series) -> pd.DataFrame:
        """The cells of a series in a setting that have a value and a place, by sparsity; not to be
        changed."""
        key = (self.settings.index(setting), self.series.index(series))
        if key not in self._measured:
            cells = self.cells_of(setting, series)
            measured = cells[(cells["n"] > 0) & cells["place"].notna()]
            self._measured[key] = measured.sort_values("place")
        return self._measured[key]

    def seed_values(self, cells: pd.DataFrame) -> pd.DataFrame:
        """The rows of `values` of some cells, in the order of the cells."""
        wanted, known = np.sort(cells.index.to_numpy()), self.values["cell"].to_numpy()
        low, high = np.searchsorted(known, wanted), np.searchsorted(known, wanted, side="right")
        if len(wanted) and wanted[-1] - wanted[0] == len(wanted) - 1:
            return self.values.iloc[low[0] : high[-1]]  # the cells of one series lie side by side
        spans = [np.arange(start, end) for start, end in zip(low, high, strict=True)]
        return self.values.iloc[np.concatenate(spans) if spans else []]

    def rows_of(self, setting: Setting, columns: list[str]) -> pd.DataFrame:
        """Some columns of the rows of a setting."""
        if len(self.settings) == 1:
            return self.study.rows[columns]
        needed = list(dict.fromkeys([*SETTING, *columns]))
        return select_rows(self.study.rows[needed], setting)[columns]

    def find_dense(self, setting: Setting) -> pd.Series | None:
        """The cell of the dense network, where it was measured."""
        return self.find_cell(setting, "dense")

    def find_cell(self, setting: Setting, method: str) -> pd.Series | None:
        """The cell of a method that has one network a seed, where it was measured."""
        for series in self.series:
            if series.method == method and len(cells := self.measured_cells(setting, series)):
                return cells.iloc[0]
        return None

    def test_images(self, setting: Setting) -> int | None:
        """How many images the test accuracies of a setting were measured on; None where unknown."""
        return self._test_images[self.settings.index(setting)]

    def remember(self, name: str, make: Callable[[], Made]) -> Made:
        """What `make` returns, made once: figures and tables need the same comparisons."""
        if name not in self._made:
            self._made[name] = make()
        made: Made = self._made[name]
        return made

    def find_random_pruning(self, setting: Setting) -> Series | None:
        """The series of uniformly random pruning, which every method should beat; None where it was
        not measured."""
        shown = self.list_measured_series(setting)
        return next(
            (series for series in shown if series.method == "random" and series.knobs == "{}"), None
        )

    def list_measured_series(self, setting: Setting) -> list[Series]:
        """The series with measured cells in a setting, in the order of legends."""
        cells = self.cells_of(setting)
        measured = set(cells.loc[(cells["n"] > 0) & cells["place"].notna(), "series_index"])
        return [series for index, series in enumerate(self.series) if index in measured]

    @cached_property
    def last_stages(self) -> frozenset[Series]:
        """Of every method with its knobs, the series of the last stage: the method's result."""
        latest: dict[tuple[str, str], Series] = {}
        for series in self.series:
            known = latest.get((series.method, series.knobs))
            if known is None or rank_stage(series.stage) > rank_stage(known.stage):
                latest[series.method, series.knobs] = series
        return frozenset(latest.values())

    def list_last_stages(self, *, dense: bool = False) -> list[int]:
        """The `series_index` of every method's last stage, with the dense network or without."""
        return [
            index
            for index, series in enumerate(self.series)
            if series in self.last_stages and (dense or series.method != "dense")
        ]

    @cached_property
    def _measured(self) -> dict[tuple[int, int], pd.DataFrame]:
        """What `measured_cells` returned so far: figures and tables need the same repeatedly."""
        return {}

    @cached_property
    def _made(self) -> dict[str, Any]:
        """What `remember` has."""
        return {}

    @cached_property
    def _test_images(self) -> list[int | None]:
        """The test images of every setting."""
        columns = ["dataset", "test_top1", "test_images"]
        return [find_test_images(self.rows_of(setting, columns)) for setting in self.settings]

    @cached_property
    def commits(self) -> list[str]:
        """The commits that the rows were measured with."""
        return sorted(self.study.rows["commit"].dropna().unique())

    @cached_property
    def _spans(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Where the cells of each setting and series begin and end in `cells`."""
        keys = ["setting_index", "series_index"]
        positions = self.cells[keys].assign(position=range(len(self.cells)))
        ends = positions.groupby(keys, sort=False)["position"].agg(["min", "max"]).reset_index()
        return {
            (setting_index, series_index): (first, last + 1)
            for setting_index, series_index, first, last in ends.itertuples(index=False, name=None)
        }


def collect_results(study: Study, metric: str | Metric = "test_top1") -> Results:
    """The results of a study that has rows or a plan.

    Raises:
        ValueError: no such metric (see `metrics.find_metric`).
    """
    chosen = find_metric(metric, study.rows) if isinstance(metric, str) else metric
    rows = study.rows.join(find_training_totals(study))
    codes = number_cells(rows)
    cells = aggregate_cells(rows, chosen.column, plan=study.plan, codes=codes)
    iterated = find_iterated_methods(rows, study.plan, codes=codes)
    cells = cells.merge(iterated, on=METHOD_IN_SETTING, how="left")
    series, settings = tuple(find_series(cells, study.cards)), tuple(find_settings(cells))
    cells["series_index"] = _find_positions(cells, SERIES, series)
    cells["setting_index"] = _find_positions(cells, SETTING, settings)
    labels = {index: one_series.label for index, one_series in enumerate(series)}
    cells.insert(0, "series", cells["series_index"].map(labels).astype("str"))
    cells["place"] = find_axis_positions(cells)
    order = ["setting_index", "series_index", "sparsity", "level"]
    cells = cells.sort_values(order, ignore_index=True)
    reached = gather_values(rows, "sparsity_reached", codes).rename(columns={"value": "reached"})
    values = gather_values(rows, chosen.column, codes)
    values = values.merge(reached, on=["code", "seed"], how="left")
    values = _place_values(values, cells)
    dense = [index for index, one_series in enumerate(series) if one_series.method == "dense"]
    _join_dense_values(values, dense)
    images = _count_images(chosen, rows, settings)
    fitted = FittedTables(values.rename(columns={"setting_index": "table"}), images=images)
    cells[["low", "high"]] = fitted.summarise()[["low", "high"]].reindex(cells.index)
    _join_drops(cells, fitted, dense)
    return Results(study, chosen, cells, values, settings, series, fitted, images)


def _count_images(
    metric: Metric, rows: pd.DataFrame, settings: Sequence[Setting]
) -> dict[Hashable, int] | None:
    """The images that the accuracies of each setting are shares of, 0 where that is unknown; None
    for a metric that is no accuracy."""
    if metric.unit != "%":
        return None
    if "test" not in metric.column:  # how many images were held out is in no row
        return dict.fromkeys(range(len(settings)), 0)
    columns = ["dataset", "test_top1", "test_images"]
    needed = rows[list(dict.fromkeys([*SETTING, *columns]))]
    return {
        index: find_test_images(select_rows(needed, setting)[columns]) or 0
        for index, setting in enumerate(settings)
    }


def _find_positions(
    cells: pd.DataFrame, columns: list[str], identities: Sequence[Series | Setting]
) -> list[int]:
    """For each cell, the position of its series or setting."""
    positions = {
        tuple(getattr(identity, column) for column in columns): index
        for index, identity in enumerate(identities)
    }
    return [positions[key] for key in cells[columns].itertuples(index=False, name=None)]


def _place_values(values: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Values with the positions of their cells, settings and series."""
    known = cells[cells["code"] >= 0]
    position = pd.Series(known.index, index=known["code"])
    values["cell"] = values.pop("code").map(position).astype(int)
    for column in ("setting_index", "series_index", "sparsity", "place"):
        values[column] = cells[column].to_numpy()[values["cell"]]
    as_requested = values["place"] == values["sparsity"]
    values["place"] = values["place"].where(as_requested, values["reached"])
    values["place"] = values["place"].where(values["place"] < 1)
    columns = ["cell", "setting_index", "series_index", "seed", "value", "place"]
    return values[columns].sort_values(["cell", "seed"], ignore_index=True)


def _join_dense_values(values: pd.DataFrame, dense: list[int]) -> None:
    """Add the dense network's value of the same seed to `values`."""
    same_seed = ["setting_index", "seed"]
    dense_values = values[values["series_index"].isin(dense)].groupby(same_seed)["value"].mean()
    values["dense"] = (
        values[same_seed]
        .merge(dense_values.rename("dense"), on=same_seed, how="left")["dense"]
        .to_numpy()
    )


def _join_drops(cells: pd.DataFrame, fitted: FittedTables, dense: list[int]) -> None:
    """Add the differences to the dense network to `cells`."""
    is_dense = cells["series_index"].isin(dense)
    references = cells[is_dense & (cells["n"] > 0)].drop_duplicates("setting_index")
    reference_of = dict(zip(references["setting_index"], references.index, strict=True))
    compared = cells[~is_dense & (cells["n"] > 0) & cells["setting_index"].isin(reference_of)]
    rivals = compared["setting_index"].map(reference_of)
    pairs = pd.DataFrame({"cell": compared.index, "rival": rivals}, index=compared.index)
    drops = fitted.compare(pairs).reindex(cells.index)
    cells["drop_n"] = drops["n"].fillna(0).astype(int)
    cells["drop_paired"] = drops["paired"].eq(True)
    names = {"difference": "drop", "low": "drop_low", "high": "drop_high", "p": "drop_p"}
    for column, name in names.items():
        cells[name] = drops[column].astype(float)
