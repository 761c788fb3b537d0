"""Densities of the layers: what each method keeps of every layer, dashed where it empties one."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from analysis.captions import capitalise, describe_figure, name_figure
from analysis.figures import marks
from analysis.figures.canvas import LINE, Canvas, Margins, Picture, count_lines, find_top, style
from analysis.figures.panels import View, find_pages, find_views
from analysis.series import Series, Setting, format_sparsity
from analysis.statistics.results import Results

HEIGHT = 1.45
NAMED = 24  # layers whose names fit below a panel


def draw_layers(results: Results, setting: Setting, kinds: tuple[str, ...]) -> list[Picture]:
    """The figures of a setting, at its largest common sparsity but one and at the largest; none
    without layers."""
    data = find_densities(results, setting)
    sparsities = _find_sparsities(data)
    if data.empty or not sparsities:
        return []
    lines = set(data.loc[data["sparsity"].isin(sparsities), "series_index"])
    shown = [
        one
        for index, one in enumerate(results.series)
        if index in lines and one in results.last_stages
    ]
    pages = find_pages(find_views(shown))
    lowest = data.loc[data["density"] > 0, "density"].min()
    bottom = max(10 ** np.floor(np.log10(float(lowest))), 1e-5)
    title = f"Densities of the layers, {setting.label}"
    remarks = ["means over seeds", "dashed: a layer is emptied, drawn at the bottom"]
    remarks.append("a smaller network counts as the dense one with the removed weights at zero")
    caption, foot = describe_figure(results, setting, remarks, intervals=False)
    caption = "Fraction of the weights of each layer" + caption[caption.index(", ") :].replace(
        " (%)", "", 1
    )
    names = list(dict.fromkeys(data["layer"]))
    rotated = 0.037 * max(map(len, names)) if len(names) <= NAMED else 0.0
    pictures = []
    for number, views in enumerate(pages):
        part = f" ({number + 1} of {len(pages)})" if len(pages) > 1 else ""
        name = name_figure(
            "layer-densities", results.metric, setting, str(number + 1) if part else ""
        )
        groups = [_find_groups(results, data, view, sparsities) for view in views]
        counts = [count_lines([marks.name_group(one) for one in group]) + 2 for group in groups]
        margins = Margins(
            bottom=0.42 + rotated, between=0.36, top=find_top(any(view.title for view in views))
        )
        with style():
            heights = [max(HEIGHT, LINE * count) for count in counts]
            canvas = Canvas(
                title + part, heights=heights, columns=len(sparsities), margins=margins, foot=foot
            )
            for row, view in enumerate(views):
                for column, sparsity in enumerate(sparsities):
                    axes = canvas.axes[row][column]
                    here = data[data["sparsity"] == sparsity]
                    handles = _draw_panel(axes, results, here, view, groups[row], bottom)
                    _set_axes(axes, names, bottom, last=row == len(views) - 1)
                    axes.text(
                        0.02,
                        0.04,
                        f"{format_sparsity(sparsity)} %",
                        transform=axes.transAxes,
                        fontsize=7.5,
                    )
                canvas.head(row, view.title)
                canvas.axes[row][0].set_ylabel("density of the layer")
                canvas.add_legend(row, handles)
            files, size = canvas.save(kinds)
        drawn = data[data["sparsity"].isin(sparsities)].drop(columns="series_index")
        pictures.append(Picture(name, capitalise(title + part), caption, drawn, files, size))
    return pictures


def find_densities(results: Results, setting: Setting) -> pd.DataFrame:
    """The density of every layer of every requested sparsity, a mean over seeds, in the order of
    the network.

    Columns: `series_index`, `series`, `sparsity`, `layer`, `density`, `n`.
    """
    columns = ["key", "level", "stage", "layer", "weights", "nonzero"]
    layers = results.study.layers[columns].drop_duplicates(["key", "level", "stage", "layer"])
    if layers.empty:
        return pd.DataFrame(columns=["series_index", "series", "sparsity", "layer", "density", "n"])
    rows = results.rows_of(
        setting, ["key", "level", "stage", "method", "knobs", "sparsity", "seed"]
    )
    found = layers.merge(
        rows.drop_duplicates(["key", "level", "stage"]), on=["key", "level", "stage"]
    )
    if found.empty:
        return pd.DataFrame(columns=["series_index", "series", "sparsity", "layer", "density", "n"])
    order = {name: index for index, name in enumerate(dict.fromkeys(found["layer"]))}
    # Of a network that is physically smaller, the table has the weights that are left: what there
    # was is the most.
    whole = found.groupby("layer")["weights"].max()
    found["density"] = found["nonzero"].astype(float) / found["layer"].map(whole).astype(float)
    lines = {(one.method, one.knobs, one.stage): index for index, one in enumerate(results.series)}
    keys = zip(found["method"], found["knobs"], found["stage"], strict=True)
    found["series_index"] = [lines.get(key, -1) for key in keys]
    found["sparsity"] = found["sparsity"].round(9)
    found = found[(found["series_index"] >= 0) & found["sparsity"].notna()]
    means = (
        found.groupby(["series_index", "sparsity", "layer"])["density"]
        .agg(["mean", "count"])
        .reset_index()
    )
    means = means.rename(columns={"mean": "density", "count": "n"})
    means["series"] = means["series_index"].map(
        {index: one.label for index, one in enumerate(results.series)}
    )
    means["layer"] = means["layer"].astype("str")
    means["place"] = means["layer"].map(order)
    means = means.sort_values(["series_index", "sparsity", "place"], ignore_index=True).drop(
        columns="place"
    )
    means["layer"] = means["layer"].str.removesuffix(".weight")
    return means[["series_index", "series", "sparsity", "layer", "density", "n"]]


def _find_sparsities(data: pd.DataFrame) -> list[float]:
    """The two sparsities to show: the largest that most methods have, and the next smaller one."""
    pruned = data[data["sparsity"] > 0]
    counts = pruned.groupby("sparsity")["series_index"].nunique()
    common = sorted(counts.index[counts >= 0.5 * counts.max()]) if len(counts) else []
    return [float(value) for value in common[-2:]]


def _draw_panel(
    axes: Axes,
    results: Results,
    here: pd.DataFrame,
    view: View,
    groups: list[list[Series]],
    bottom: float,
) -> list[Line2D]:
    names = list(dict.fromkeys(here["layer"]))
    courses = _find_courses(results, here, names)
    for one in view.context:
        densities = courses[one].clip(bottom)
        axes.plot(range(len(names)), densities, color=marks.BACKGROUND, linewidth=0.7, zorder=1.2)
    handles = []
    for group in groups:
        densities = courses[group[0]]
        look = marks.find_look(group[0]) | {
            "markersize": 3.6,
            "markeredgewidth": 0.5,
            "linewidth": 1.1,
        }
        handles.append(Line2D([], [], label=marks.name_group(group), **look))
        dashes = {"linestyle": (0, (4, 2))} if (densities == 0).any() else {}
        axes.plot(range(len(names)), densities.clip(bottom), zorder=3, **(look | dashes))
    if view.context:
        handles.append(
            Line2D([], [], color=marks.BACKGROUND, linewidth=0.7, label="the other methods")
        )
    return handles


def _find_groups(
    results: Results, data: pd.DataFrame, view: View, sparsities: list[float]
) -> list[list[Series]]:
    """The series of a panel, those with the same densities at all the sparsities together."""
    names = list(dict.fromkeys(data["layer"]))
    courses = [
        _find_courses(results, data[data["sparsity"] == sparsity], names) for sparsity in sparsities
    ]
    return marks.group_alike(
        {one: np.stack([course[one] for course in courses]) for one in view.series}
    )


def _find_courses(
    results: Results, here: pd.DataFrame, names: list[str]
) -> dict[Series, np.ndarray]:
    """The densities of every series at one sparsity, layer by layer, NaN where there is none."""
    table = here.pivot(index="series_index", columns="layer", values="density")
    found = table.reindex(index=range(len(results.series)), columns=names).to_numpy(dtype=float)
    return dict(zip(results.series, found, strict=True))


def _set_axes(axes: Axes, names: list[str], bottom: float, *, last: bool) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(bottom * 0.8, 1.25)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.grid(True)
    if len(names) <= NAMED:
        axes.set_xticks(
            range(len(names)), names if last else [""] * len(names), rotation=90, fontsize=6
        )
    elif last:
        axes.set_xlabel("layer, from the input on")
