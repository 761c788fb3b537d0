"""What a study measured of one metric, ready to be drawn and written: cells, single seeds, and
differences to dense."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.metrics import Metric, find_metric
from analysis.reading.load import Study
from analysis.series import Series, Setting, find_series, find_settings, rank_stage, select
from analysis.statistics.aggregate import (
    SETTING,
    find_iterated,
    find_places,
    gather_values,
    number_cells,
    summarise,
)
from analysis.statistics.intervals_and_tests import half_width, p_value


@dataclass(frozen=True)
class Results:
    """One metric of a study.

    cells: the columns of `cells.summarise`, and `series` (the name of the line), `place`
        (`cells.find_places`), `iterated` (whether its trials measure several levels), `site` and
        `line` (positions in `settings` and `series`), and the mean difference to the dense network
        of the same seed: `drop`, `drop_half_width`, `drop_n`, `drop_p`.
    values: one line per measured cell and seed: `cell` (a position in cells), `site`, `line`,
        `seed`, `value`, `place` (as that of the cell; the sparsity this seed reached where that
        stands at a reached one), `dense` (the value of the same setting and seed, NaN where there
        is none).
    Both are in the order of settings, series, sparsities and levels.
    """

    study: Study
    metric: Metric
    cells: pd.DataFrame
    values: pd.DataFrame
    settings: tuple[Setting, ...]
    series: tuple[Series, ...]

    def of(self, setting: Setting | None = None, series: Series | None = None) -> pd.DataFrame:
        """The cells of a setting, of a series, or of both; also those that nothing was measured of.
        """
        site = None if setting is None else self.settings.index(setting)
        line = None if series is None else self.series.index(series)
        if site is not None and line is not None:
            start, end = self._places.get((site, line), (0, 0))
            return self.cells.iloc[start:end]
        chosen = self.cells if site is None else self.cells[self.cells["site"] == site]
        return chosen if line is None else chosen[chosen["line"] == line]

    def measured(self, setting: Setting, series: Series) -> pd.DataFrame:
        """The cells of a series in a setting that have a value and a place, by sparsity; not to be
        changed."""
        key = (self.settings.index(setting), self.series.index(series))
        if key not in self._measured:
            cells = self.of(setting, series)
            self._measured[key] = cells[(cells["n"] > 0) & cells["place"].notna()].sort_values(
                "place"
            )
        return self._measured[key]

    def seeds(self, cells: pd.DataFrame) -> pd.DataFrame:
        """The single seeds of some cells, in the order of the cells."""
        wanted, known = np.sort(cells.index.to_numpy()), self.values["cell"].to_numpy()
        low, high = np.searchsorted(known, wanted), np.searchsorted(known, wanted, side="right")
        if len(wanted) and wanted[-1] - wanted[0] == len(wanted) - 1:
            return self.values.iloc[low[0] : high[-1]]  # the cells of one series lie side by side
        spans = [np.arange(start, end) for start, end in zip(low, high, strict=True)]
        return self.values.iloc[np.concatenate(spans) if spans else []]

    def rows(self, setting: Setting, columns: list[str]) -> pd.DataFrame:
        """Some columns of the rows of a setting."""
        if len(self.settings) == 1:
            return self.study.rows[columns]
        return select(self.study.rows[list(dict.fromkeys([*SETTING, *columns]))], setting)[columns]

    def find_dense(self, setting: Setting) -> pd.Series | None:
        """The cell of the dense network, where it was measured."""
        for one in self.series:
            if one.method == "dense" and len(cells := self.measured(setting, one)):
                return cells.iloc[0]
        return None

    def find_shown(self, setting: Setting) -> list[Series]:
        """The series with measured cells in a setting, in the order of legends."""
        sites = self.cells[
            (self.cells["site"] == self.settings.index(setting)) & (self.cells["n"] > 0)
        ]
        lines = set(sites.loc[sites["place"].notna(), "line"])
        return [one for index, one in enumerate(self.series) if index in lines]

    @cached_property
    def last(self) -> frozenset[Series]:
        """Of every method with its knobs, the series of the last stage: the result."""
        latest: dict[tuple[str, str], Series] = {}
        for one in self.series:
            known = latest.get((one.method, one.knobs))
            if known is None or rank_stage(one.stage) > rank_stage(known.stage):
                latest[one.method, one.knobs] = one
        return frozenset(latest.values())

    @cached_property
    def _measured(self) -> dict[tuple[int, int], pd.DataFrame]:
        """What `measured` was asked for so far: figures and tables ask for the same again and
        again."""
        return {}

    @cached_property
    def commits(self) -> list[str]:
        """The commits that the rows were measured with."""
        return sorted(self.study.rows["commit"].dropna().unique())

    @cached_property
    def _places(self) -> dict[tuple[int, int], tuple[int, int]]:
        """First and last-but-one position of each setting and series in the sorted cells."""
        both = (
            self.cells[["site", "line"]]
            .assign(at=range(len(self.cells)))
            .groupby(["site", "line"], sort=False)["at"]
        )
        ends = both.agg(["min", "max"]).reset_index()
        return {
            (site, line): (low, high + 1)
            for site, line, low, high in ends.itertuples(index=False, name=None)
        }


def collect(study: Study, metric: str | Metric = "test_top1") -> Results:
    """The results of a study that has rows or a plan.

    Raises:
        ValueError: no such metric (see `metrics.find_metric`).
    """
    chosen = find_metric(metric, study.rows) if isinstance(metric, str) else metric
    rows = study.rows
    codes = number_cells(rows)
    cells = summarise(rows, chosen.column, plan=study.plan, codes=codes)
    cells = cells.merge(
        find_iterated(rows, study.plan, codes=codes), on=[*SETTING, "method", "knobs"], how="left"
    )
    series, settings = tuple(find_series(cells, study.cards)), tuple(find_settings(cells))
    lines = {(one.method, one.knobs, one.stage): index for index, one in enumerate(series)}
    sites = {(one.dataset, one.model, one.recipe): index for index, one in enumerate(settings)}
    cells["line"] = [
        lines[key] for key in zip(cells["method"], cells["knobs"], cells["stage"], strict=True)
    ]
    cells["site"] = [
        sites[key] for key in zip(cells["dataset"], cells["model"], cells["recipe"], strict=True)
    ]
    cells.insert(
        0,
        "series",
        cells["line"].map({index: one.label for index, one in enumerate(series)}).astype("str"),
    )
    cells["place"] = find_places(cells)
    cells = cells.sort_values(["site", "line", "sparsity", "level"], ignore_index=True)
    reached = gather_values(rows, "sparsity_reached", codes).rename(columns={"value": "reached"})
    values = gather_values(rows, chosen.column, codes).merge(
        reached, on=["code", "seed"], how="left"
    )
    values = _place_values(values, cells)
    _join_dense(cells, values, [index for index, one in enumerate(series) if one.method == "dense"])
    return Results(study, chosen, cells, values, settings, series)


def _place_values(values: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Values with the positions of their cells, settings and series."""
    known = cells[cells["code"] >= 0]
    position = pd.Series(known.index, index=known["code"])
    values["cell"] = values.pop("code").map(position).astype(int)
    for column in ("site", "line", "sparsity", "place"):
        values[column] = cells[column].to_numpy()[values["cell"]]
    values["place"] = values["place"].where(
        values["place"] == values["sparsity"], values["reached"]
    )
    return values[["cell", "site", "line", "seed", "value", "place"]].sort_values(
        ["cell", "seed"], ignore_index=True
    )


def _join_dense(cells: pd.DataFrame, values: pd.DataFrame, dense: Iterable[int]) -> None:
    """Add the dense value of the same seed to values, and the paired differences to cells."""
    unpruned = (
        values[values["line"].isin(list(dense))]
        .groupby(["site", "seed"])["value"]
        .mean()
        .rename("dense")
    )
    values["dense"] = (
        values[["site", "seed"]]
        .merge(unpruned, on=["site", "seed"], how="left")["dense"]
        .to_numpy()
    )
    paired = (
        (values["value"] - values["dense"]).groupby(values["cell"]).agg(["mean", "std", "count"])
    )
    paired = paired.reindex(cells.index)
    n = paired["count"].fillna(0).astype(int).to_numpy()
    cells["drop"], cells["drop_n"] = paired["mean"], n
    cells["drop_half_width"] = half_width(paired["std"].to_numpy(), n)
    cells["drop_p"] = p_value(paired["mean"].to_numpy(), paired["std"].to_numpy(), n)
    cells.loc[cells["line"].isin(list(dense)), ["drop", "drop_half_width", "drop_p"]] = None
