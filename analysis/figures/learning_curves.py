"""Learning curves: accuracy by epoch in the last training of each trial, at the largest sparsity
most methods have."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.captions import describe_figure, name_figure
from analysis.figures import marks
from analysis.figures.canvas import LINE, Canvas, Margins, Picture, count_lines, find_top, style
from analysis.figures.panels import View, find_pages, find_views
from analysis.series import Series, Setting, format_sparsity
from analysis.statistics.intervals_and_tests import half_width
from analysis.statistics.results import Results

HEIGHT = 1.45


def draw_curves(results: Results, setting: Setting, kinds: tuple[str, ...]) -> list[Picture]:
    """The figures of a setting; none without learning curves."""
    data, sparsity = find_curves(results, setting)
    if data.empty:
        return []
    lines = set(data["series_index"])
    shown = [
        one
        for index, one in enumerate(results.series)
        if index in lines and one in results.last_stages
    ]
    pages = find_pages(find_views(shown) or [View("", tuple(shown))])
    where = f"at {format_sparsity(sparsity)} %, " if sparsity is not None else ""
    title = f"Learning curves {where}{setting.label}"
    split = "validation" if (data["split"] == "validation").all() else "training"
    remarks = [f"{split} accuracy after each epoch, means over seeds with their intervals"]
    others = bool((data["sparsity"].isna() | ~data["sparsity"].isin([0.0, sparsity])).any())
    remarks.append(
        f"the last training of each trial{', of an iterated method at its last level' if others else ''}"
    )
    remarks.append("black: the dense network")
    caption, foot = describe_figure(results, setting, remarks)
    caption = f"{split.capitalize()} top-1 accuracy (%)" + caption[caption.index(", ") :]
    pictures = []
    for number, views in enumerate(pages):
        part = f" ({number + 1} of {len(pages)})" if len(pages) > 1 else ""
        name = name_figure(
            "learning-curves", results.metric, setting, str(number + 1) if part else ""
        )
        counts = [count_lines([one.label for one in view.series]) + 2 for view in views]
        with style():
            margins = Margins(top=find_top(any(view.title for view in views)))
            heights = [max(HEIGHT, LINE * count) for count in counts]
            canvas = Canvas(title + part, heights=heights, margins=margins, foot=foot)
            for row, view in enumerate(views):
                axes = canvas.axes[row][0]
                canvas.add_legend(row, _draw_panel(axes, results, data, view))
                axes.set_ylabel(f"{split} top-1 (%)")
                canvas.head(row, view.title)
            canvas.axes[-1][0].set_xlabel("epoch of the last training")
            files, size = canvas.save(kinds)
        pictures.append(
            Picture(name, title + part, caption, data.drop(columns="series_index"), files, size)
        )
    return pictures


def find_curves(results: Results, setting: Setting) -> tuple[pd.DataFrame, float | None]:
    """Accuracy by epoch of the last training of each trial that ends at one sparsity or is
    iterated, and that one.

    The sparsity is the largest that half as many methods have as the one most of them have.
    Columns: `series_index`, `series`, `sparsity`, `split`, `epoch` (from 1), `mean`, `half_width`, `n`.
    Validation accuracy, or that on the training images where nothing was held out.
    """
    curves = results.study.curves
    if curves.empty:
        return pd.DataFrame(), None
    rows = results.rows_of(setting, ["key", "level", "method", "knobs", "sparsity"])
    rows = rows.sort_values(["key", "level"]).drop_duplicates("key", keep="last")
    last = {(one.method, one.knobs): results.series.index(one) for one in results.last_stages}
    lines = [last.get(key, -1) for key in zip(rows["method"], rows["knobs"], strict=True)]
    rows = rows.assign(sparsity=rows["sparsity"].round(9), series_index=lines)
    rows = rows[
        rows["series_index"] >= 0
    ]  # without those that nothing was measured of in this metric
    curves = curves[curves["key"].isin(set(rows["key"])) & curves["top1"].notna()]
    if curves.empty:
        return pd.DataFrame(), None
    held = curves["split"] == "validation"
    curves = curves[held if held.any() else curves["split"] == "train"]
    trained = rows[rows["key"].isin(set(curves["key"]))]
    counts = trained[trained["sparsity"] > 0].groupby("sparsity")["method"].nunique()
    common = [float(str(value)) for value in counts.index[counts >= 0.5 * counts.max()]]
    sparsity = max(common) if common else None
    cells = results.cells_of(setting)
    iterated = set(
        zip(*(cells.loc[cells["iterated"], name] for name in ("method", "knobs")), strict=True)
    )
    keys = zip(trained["method"], trained["knobs"], strict=True)
    ends = trained["method"].eq("dense") | np.array([key in iterated for key in keys], dtype=bool)
    chosen = trained[ends if sparsity is None else ends | trained["sparsity"].eq(sparsity)]
    curves = _keep_last_training(
        curves.merge(chosen[["key", "series_index", "sparsity"]], on="key")
    )
    by = ["series_index", "sparsity", "split", "epoch"]
    found = curves.groupby(by, dropna=False)["top1"].agg(["mean", "std", "count"]).reset_index()
    found["half_width"] = half_width(found.pop("std").to_numpy(), found["count"].to_numpy())
    found["epoch"] = found["epoch"].astype(int) + 1
    found.insert(
        1,
        "series",
        found["series_index"].map({index: one.label for index, one in enumerate(results.series)}),
    )
    return found.rename(columns={"count": "n"}), sparsity


def _keep_last_training(curves: pd.DataFrame) -> pd.DataFrame:
    """Of each trial the epochs after its last prune or rewind: there the count of epochs begins
    anew."""
    curves = curves.sort_values(["key", "step"])
    first = curves.groupby("key")["epoch"].diff().fillna(0).le(0) | (
        curves["phase"] != curves.groupby("key")["phase"].shift()
    )
    number = first.groupby(curves["key"]).cumsum()
    return curves[number == number.groupby(curves["key"]).transform("max")]


def _draw_panel(axes: Axes, results: Results, data: pd.DataFrame, view: View) -> list[Line2D]:
    handles: list[Line2D] = []
    axes.grid(True)
    dense = [one for one in results.series if one.method == "dense" and one not in view.series]
    longest = 0
    for one in (*view.series, *dense):
        curve = data[data["series_index"] == results.series.index(one)].sort_values("epoch")
        if curve.empty:
            continue
        look = _find_look(one)
        axes.fill_between(
            curve["epoch"],
            curve["mean"] - curve["half_width"],
            curve["mean"] + curve["half_width"],
            color=one.colour,
            alpha=marks.find_shade(len(view.series)),
            linewidth=0,
        )
        axes.plot(
            curve["epoch"], curve["mean"], markevery=max(1, len(curve) // 8), zorder=3, **look
        )
        handles.append(Line2D([], [], label=one.label, **look))
        longest = max(longest, int(curve["epoch"].max()))
    here = data[
        data["series_index"].isin([results.series.index(one) for one in (*view.series, *dense)])
    ]
    low, high = float(here["mean"].min()), float(here["mean"].max())
    margin = 0.06 * max(high - low, 1.0)
    axes.set_ylim(low - margin, min(high + margin, 100.6))
    axes.set_xlim(1 - 0.02 * longest, longest * 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return handles


def _find_look(one: Series) -> dict[str, Any]:
    if one.method == "dense":
        return {"color": "black", "linestyle": (0, (6, 3)), "linewidth": 0.9}
    return marks.find_look(one) | {"markersize": 3.4, "markeredgewidth": 0.5, "linewidth": 1.1}
