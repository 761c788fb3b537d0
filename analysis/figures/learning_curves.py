"""Learning curves: accuracy by epoch in the last training of each trial, at the largest sparsity
that most methods have."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.captions import describe_figure, name_figure
from analysis.figures import marks
from analysis.figures.canvas import (
    LINE,
    Canvas,
    Margins,
    Picture,
    count_lines,
    find_room,
    find_top,
    style,
)
from analysis.figures.panels import FigurePage, PanelGroup, group_into_panels, split_into_pages
from analysis.series import Series, Setting, format_sparsity
from analysis.statistics.intervals_and_tests import half_width
from analysis.statistics.results import Results

HEIGHT = 1.45


def draw_curves(results: Results, setting: Setting, kinds: tuple[str, ...]) -> list[Picture]:
    """The figures of a setting; none without learning curves."""
    data, sparsity = find_curves(results, setting)
    if data.empty:
        return []
    drawn = set(data["series_index"])
    shown = [
        series
        for index, series in enumerate(results.series)
        if index in drawn and series in results.last_stages
    ]
    groups = group_into_panels(shown) or [PanelGroup("", tuple(shown))]
    where = f"at {format_sparsity(sparsity)} %, " if sparsity is not None else ""
    title = f"Learning curves {where}{setting.label}"
    split = "validation" if (data["split"] == "validation").all() else "training"
    remarks = [
        f"{split} accuracy after each epoch, means over seeds with their intervals",
        "the last training of each trial whose last level has this sparsity",
        "black: the dense network",
    ]
    caption, foot = describe_figure(results, setting, remarks)
    caption = f"{split.capitalize()} top-1 accuracy (%)" + caption[caption.index(", ") :]
    margins = Margins(top=find_top(any(group.title for group in groups)), between=0.3)
    least = [LINE * (count_lines([one.label for one in group.series]) + 1.5) for group in groups]
    pages = split_into_pages(
        groups,
        [max(HEIGHT, height) for height in least],
        least,
        room=find_room(margins, foot),
        between=margins.between,
    )
    pictures = []
    for number, page in enumerate(pages, 1):
        part = f" ({number} of {len(pages)})" if len(pages) > 1 else ""
        name = name_figure("learning-curves", results.metric, setting, str(number) if part else "")
        with style():
            canvas = Canvas(title + part, heights=page.heights, margins=margins, foot=foot)
            _draw_page(canvas, results, data, page, split)
            files, size = canvas.save(kinds)
        numbers = data.drop(columns="series_index")
        pictures.append(Picture(name, title + part, caption, numbers, files, size))
    return pictures


def find_curves(results: Results, setting: Setting) -> tuple[pd.DataFrame, float | None]:
    """Accuracy by epoch of the last training of each trial whose last level has one sparsity, and
    of the dense network; and that sparsity, None where only the dense network was trained.

    The sparsity is the largest that half as many methods have as the one most of them have.
    Columns: `series_index`, `series`, `sparsity`, `split`, `epoch` (from 1), `mean`, `half_width`,
    `n`. Validation accuracy, or that on the training images where nothing was held out.
    """
    curves = results.study.curves
    if curves.empty:
        return pd.DataFrame(), None
    trials = _list_trials(results, setting)
    curves = curves[curves["key"].isin(set(trials["key"])) & curves["top1"].notna()]
    if curves.empty:
        return pd.DataFrame(), None
    held_out = curves["split"] == "validation"
    curves = curves[held_out if held_out.any() else curves["split"] == "train"]
    trained = trials[trials["key"].isin(set(curves["key"]))]
    counts = trained[trained["sparsity"] > 0].groupby("sparsity")["method"].nunique()
    common = [float(str(value)) for value in counts.index[counts >= 0.5 * counts.max()]]
    sparsity = max(common) if common else None
    chosen = trained  # where only methods' own rules decide, or nothing but the dense was trained
    if sparsity is not None:
        chosen = trained[trained["method"].eq("dense") | trained["sparsity"].eq(sparsity)]
    curves = _keep_last_training(
        curves.merge(chosen[["key", "series_index", "sparsity"]], on="key")
    )
    by = ["series_index", "sparsity", "split", "epoch"]
    means = curves.groupby(by, dropna=False)["top1"].agg(["mean", "std", "count"]).reset_index()
    means["half_width"] = half_width(means.pop("std").to_numpy(), means["count"].to_numpy())
    means["epoch"] = means["epoch"].astype(int) + 1
    labels = {index: series.label for index, series in enumerate(results.series)}
    means.insert(1, "series", means["series_index"].map(labels))
    return means.rename(columns={"count": "n"}), sparsity


def _list_trials(results: Results, setting: Setting) -> pd.DataFrame:
    """The trials of a setting, each with the sparsity of its last level and the `series_index` of
    its method's last stage; without those that nothing was measured of in this metric."""
    rows = results.rows_of(setting, ["key", "level", "method", "knobs", "sparsity"])
    rows = rows.sort_values(["key", "level"]).drop_duplicates("key", keep="last")
    index_of = {
        (series.method, series.knobs): results.series.index(series)
        for series in results.last_stages
    }
    keys = zip(rows["method"], rows["knobs"], strict=True)
    rows = rows.assign(
        sparsity=rows["sparsity"].round(9), series_index=[index_of.get(key, -1) for key in keys]
    )
    return rows[rows["series_index"] >= 0]


def _keep_last_training(curves: pd.DataFrame) -> pd.DataFrame:
    """Of each trial the epochs after its last prune or rewind: there the count of epochs begins
    anew."""
    curves = curves.sort_values(["key", "step"])
    first = curves.groupby("key")["epoch"].diff().fillna(0).le(0) | (
        curves["phase"] != curves.groupby("key")["phase"].shift()
    )
    number = first.groupby(curves["key"]).cumsum()
    return curves[number == number.groupby(curves["key"]).transform("max")]


def _draw_page(
    canvas: Canvas, results: Results, data: pd.DataFrame, page: FigurePage, split: str
) -> None:
    low, high = float(data["mean"].min()), float(data["mean"].max())
    margin = 0.06 * max(high - low, 1.0)
    longest = int(data["epoch"].max())
    for row, group in enumerate(page.groups):
        axes = canvas.axes[row][0]
        canvas.add_legend(row, _draw_panel(axes, results, data, group))
        axes.set_ylim(low - margin, min(high + margin, 100.6))
        axes.set_xlim(1 - 0.02 * longest, longest * 1.02)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(labelbottom=row == len(page.groups) - 1)
        axes.set_ylabel(f"{split} top-1 (%)")
        canvas.head(row, group.title)
    canvas.axes[-1][0].set_xlabel("epoch of the last training")


def _draw_panel(
    axes: Axes, results: Results, data: pd.DataFrame, group: PanelGroup
) -> list[Line2D]:
    handles: list[Line2D] = []
    axes.grid(True)
    dense = [series for series in results.series if series.method == "dense"]
    for series in dict.fromkeys((*group.series, *dense)):
        curve = data[data["series_index"] == results.series.index(series)].sort_values("epoch")
        if curve.empty:
            continue
        line_style = _find_curve_style(series)
        axes.fill_between(
            curve["epoch"],
            (curve["mean"] - curve["half_width"]).clip(lower=0.0),
            (curve["mean"] + curve["half_width"]).clip(upper=100.0),
            color=series.colour,
            alpha=marks.find_shade(len(group.series)),
            linewidth=0,
        )
        axes.plot(
            curve["epoch"], curve["mean"], markevery=max(1, len(curve) // 8), zorder=3, **line_style
        )
        handles.append(Line2D([], [], label=series.label, **line_style))
    return handles


def _find_curve_style(series: Series) -> dict[str, Any]:
    if series.method == "dense":
        return marks.DENSE_STYLE
    smaller = {"markersize": 3.4, "markeredgewidth": 0.5, "linewidth": 1.1}
    return marks.find_line_style(series) | smaller
