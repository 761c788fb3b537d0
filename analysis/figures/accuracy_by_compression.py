"""Accuracy against the compression ratio and the theoretical speed-up, the axes that Blalock et al.
2020 ask of a pruning paper."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.captions import capitalise, describe_figure, name_figure, remark_outside
from analysis.figures import marks
from analysis.figures.axes import find_limits_near_dense
from analysis.figures.canvas import LINE, Canvas, Margins, Picture, count_lines, label_y, style
from analysis.series import Series, Setting
from analysis.statistics.results import Results

HEIGHT = 3.0
RATIOS = {"compression": "compression ratio", "theoretical_speedup": "theoretical speed-up"}
TICKS = [multiple * 10**power for power in range(6) for multiple in (1, 2, 5)]
REMARKS = (
    "compression: parameters of the dense network over nonzero ones",
    "theoretical speed-up: its MACs over those with nonzero weights; measured speed is in "
    "table 'efficiency'",
    "means over seeds, whose intervals the tables give",
    "dashed: the dense network",
)
COLUMNS = [
    *("series", "method", "knobs", "stage", "sparsity", "level", *RATIOS),
    *("mean", "low", "high", "n"),
]


def draw_compression(results: Results, setting: Setting, kinds: tuple[str, ...]) -> list[Picture]:
    """The figure of a setting, a panel per ratio with the last stage of every method; none where
    no ratio is known or nothing was pruned."""
    ratios = find_ratios(results, setting)
    columns = [name for name in RATIOS if ratios[name].notna().any()]
    shown = [
        results.series[index]
        for index in sorted(set(ratios["series_index"]))
        if results.series[index].method != "dense"
    ]
    if not shown or not columns:
        return []
    dense = ratios.loc[ratios["method"] == "dense", "mean"]
    limits = find_limits_near_dense(ratios["mean"], dense, results.metric)
    outside = int((~ratios["mean"].between(*limits)).sum())
    remarks = [*REMARKS, *remark_outside(outside, "result")]
    caption, foot = describe_figure(results, setting, remarks, intervals=False)
    against = " and ".join(RATIOS[name] for name in columns)
    title = f"{capitalise(results.metric.title)} against {against}, {setting.label}"
    # The legend is that of both panels, and may reach down beside the lower one.
    needed = LINE * (count_lines([series.label for series in shown]) + 2) / len(columns)
    height = min(max(HEIGHT, needed), 8.6 / len(columns))
    with style():
        canvas = Canvas(
            title,
            heights=[height] * len(columns),
            margins=Margins(top=0.38, between=0.48),
            foot=foot,
        )
        handles: list[Line2D] = []
        for row, column in enumerate(columns):
            axes = canvas.axes[row][0]
            handles = _draw_panel(axes, results, setting, ratios, shown, column)
            axes.set_ylim(*limits)
            label_y(axes, results.metric.heading)
            axes.set_xlabel(f"{RATIOS[column]} (times)")
        canvas.add_legend(0, handles)
        files, size = canvas.save(kinds)
    name = name_figure("compression", results.metric, setting)
    data = ratios[[name for name in COLUMNS if name in ratios]]
    return [Picture(name, title, caption, data, files, size)]


def find_ratios(results: Results, setting: Setting) -> pd.DataFrame:
    """The measured cells of every method's last stage with the columns of `RATIOS`: what the dense
    network has over what is left of it, NaN where it is unknown."""
    cells = results.cells_of(setting)
    is_last = cells["series_index"].isin(results.list_last_stages(dense=True))
    cells = cells[is_last & (cells["n"] > 0)]
    dense = results.find_dense(setting)
    whole = cells[["params", "macs"]].astype(float).max() if dense is None else dense
    left = cells[["nonzero", "effective_macs"]].astype(float).replace(0.0, np.nan)
    compression = float(whole["params"]) / left["nonzero"]
    return cells.assign(
        compression=cells["compression"].astype(float).fillna(compression),
        theoretical_speedup=float(whole["macs"]) / left["effective_macs"],
    )


def _draw_panel(
    axes: Axes,
    results: Results,
    setting: Setting,
    ratios: pd.DataFrame,
    shown: list[Series],
    column: str,
) -> list[Line2D]:
    """The curves against one ratio; returns the legend's entries."""
    handles = []
    if (dense := results.find_dense(setting)) is not None:
        handles.append(marks.draw_dense_level(axes, dense))
    known = ratios.dropna(subset=[column]).sort_values(column)
    curves = {int(str(index)): cells for index, cells in known.groupby("series_index")}
    for series in shown:
        cells = curves.get(results.series.index(series), known.head(0))
        handles.append(marks.draw_curve(axes, cells[column], cells["mean"], None, series))
    _set_ratio_axis(axes, float(ratios[column].max()))
    return handles


def _set_ratio_axis(axes: Axes, largest: float) -> None:
    """A logarithmic axis from 1, the dense network, up to the largest ratio."""
    axes.set_xscale("log")
    largest = max(largest, 2.0)
    margin = largest**0.04
    ticks = [tick for tick in TICKS if tick <= largest * 1.01]
    if len(ticks) > 8:
        ticks = [tick for tick in ticks if str(tick)[0] == "1"]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlim(1 / margin, largest * margin)
    axes.grid(True)
