"""Densities of the layers: what each method keeps of every layer, dashed where it empties one."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from analysis.captions import capitalise, describe_figure, name_figure
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
from analysis.statistics.results import Results

HEIGHT = 1.45
NAMED = 24  # layers whose names fit below a panel
COLUMNS = ["series_index", "series", "sparsity", "layer", "density", "n"]
LEVEL = ["key", "level", "stage"]
EMPTIED = "dashed: a layer is emptied, drawn at the bottom"
SMALLER = "a smaller network counts as the dense one with the removed weights at zero"


def draw_layers(results: Results, setting: Setting, kinds: tuple[str, ...]) -> list[Picture]:
    """The figures of a setting, at the largest sparsity that most methods have; none without
    layers."""
    densities = find_densities(results, setting)
    sparsities = _find_sparsities(densities)
    if densities.empty or not sparsities:
        return []
    data = densities[densities["sparsity"].isin(sparsities)]
    drawn = set(data["series_index"])
    shown = [
        series
        for index, series in enumerate(results.series)
        if index in drawn and series in results.last_stages
    ]
    panel_groups = group_into_panels(shown)
    remarks = ["means over seeds", *([EMPTIED] if data["density"].eq(0).any() else []), SMALLER]
    caption, foot = describe_figure(results, setting, remarks, intervals=False)
    caption = "Fraction of the weights of each layer" + caption[caption.index(", ") :].replace(
        " (%)", "", 1
    )
    names = list(dict.fromkeys(densities["layer"]))
    rotated = 0.037 * max(map(len, names)) if len(names) <= NAMED else 0.0
    has_shared = any(group.context for group in panel_groups)
    top = find_top(any(group.title for group in panel_groups), shared=has_shared)
    margins = Margins(bottom=0.42 + rotated, between=0.3, top=top)
    least = [
        LINE * (count_lines([marks.name_group(alike) for alike in alikes]) + 0.5)
        for alikes in (_group_series(results, data, group, sparsities) for group in panel_groups)
    ]
    pages = split_into_pages(
        panel_groups,
        [max(HEIGHT, height) for height in least],
        least,
        room=find_room(margins, foot),
        between=margins.between,
    )
    title = f"Densities of the layers at {format_sparsity(sparsities[0])} %, {setting.label}"
    pictures = []
    for number, page in enumerate(pages, 1):
        part = f" ({number} of {len(pages)})" if len(pages) > 1 else ""
        name = name_figure("layer-densities", results.metric, setting, str(number) if part else "")
        with style():
            canvas = Canvas(
                title + part,
                heights=page.heights,
                columns=len(sparsities),
                margins=margins,
                foot=foot,
            )
            _draw_page(canvas, results, data, page, sparsities, names)
            files, size = canvas.save(kinds)
        numbers = data.drop(columns="series_index")
        pictures.append(Picture(name, capitalise(title + part), caption, numbers, files, size))
    return pictures


def _draw_page(
    canvas: Canvas,
    results: Results,
    data: pd.DataFrame,
    page: FigurePage,
    sparsities: list[float],
    names: list[str],
) -> None:
    lowest = float(data.loc[data["density"] > 0, "density"].min())
    bottom = max(10 ** np.floor(np.log10(lowest)), 1e-5)
    for row, group in enumerate(page.groups):
        alikes = _group_series(results, data, group, sparsities)
        handles: list[Line2D] = []
        for axes, sparsity in zip(canvas.axes[row], sparsities, strict=True):
            here = data[data["sparsity"] == sparsity]
            handles = _draw_panel(axes, results, here, group, alikes, bottom)
            _set_axes(axes, names, bottom, last=row == len(page.groups) - 1)
        canvas.head(row, group.title)
        canvas.axes[row][0].set_ylabel("density of the layer")
        canvas.add_legend(row, handles)
    has_context = any(group.context or group.references for group in page.groups)
    canvas.add_shared_legend(marks.list_shared_entries(context=has_context, references=False))


def find_densities(results: Results, setting: Setting) -> pd.DataFrame:
    """The density of every layer of every requested sparsity, a mean over seeds, in the order of
    the network.

    Columns: `series_index`, `series`, `sparsity`, `layer`, `density`, `n`.
    """
    layers = results.study.layers[[*LEVEL, "layer", "weights", "nonzero"]]
    layers = layers.drop_duplicates([*LEVEL, "layer"])
    rows = results.rows_of(setting, [*LEVEL, "method", "knobs", "sparsity", "seed"])
    measured = layers.merge(rows.drop_duplicates(LEVEL), on=LEVEL)
    if measured.empty:
        return pd.DataFrame(columns=COLUMNS)
    order = {name: index for index, name in enumerate(dict.fromkeys(measured["layer"]))}
    # Of a network that is physically smaller, the table has the weights that are left: what there
    # was is the most.
    whole = measured.groupby("layer")["weights"].max()
    measured["density"] = measured["nonzero"].astype(float) / measured["layer"].map(whole).astype(
        float
    )
    index_of = {
        (series.method, series.knobs, series.stage): index
        for index, series in enumerate(results.series)
    }
    keys = zip(measured["method"], measured["knobs"], measured["stage"], strict=True)
    measured["series_index"] = [index_of.get(key, -1) for key in keys]
    measured["sparsity"] = measured["sparsity"].round(9)
    measured = measured[(measured["series_index"] >= 0) & measured["sparsity"].notna()]
    by = measured.groupby(["series_index", "sparsity", "layer"])["density"]
    means = by.agg(["mean", "count"]).reset_index()
    means = means.rename(columns={"mean": "density", "count": "n"})
    labels = {index: series.label for index, series in enumerate(results.series)}
    means["series"] = means["series_index"].map(labels)
    means["place"] = means["layer"].astype("str").map(order)
    means = means.sort_values(["series_index", "sparsity", "place"], ignore_index=True)
    means["layer"] = means["layer"].astype("str").str.removesuffix(".weight")
    return means[COLUMNS]


def _find_sparsities(data: pd.DataFrame) -> list[float]:
    """The sparsity to show, the largest that most methods have; none without a pruned network."""
    pruned = data[data["sparsity"] > 0]
    counts = pruned.groupby("sparsity")["series_index"].nunique()
    common = sorted(counts.index[counts >= 0.5 * counts.max()]) if len(counts) else []
    return [float(value) for value in common[-1:]]


def _draw_panel(
    axes: Axes,
    results: Results,
    here: pd.DataFrame,
    group: PanelGroup,
    alikes: list[list[Series]],
    bottom: float,
) -> list[Line2D]:
    names = list(dict.fromkeys(here["layer"]))
    curves = _list_curves(results, here, names)
    others = [curves[series].clip(bottom) for series in (*group.context, *group.references)]
    marks.draw_background(axes, [(range(len(names)), densities) for densities in others])
    handles = []
    for alike in alikes:
        densities = curves[alike[0]]
        smaller = {"markersize": 3.6, "markeredgewidth": 0.5, "linewidth": 1.1}
        line_style = marks.find_line_style(alike[0]) | smaller
        handles.append(Line2D([], [], label=marks.name_group(alike), **line_style))
        dashes = {"linestyle": (0, (4, 2))} if (densities == 0).any() else {}
        axes.plot(range(len(names)), densities.clip(bottom), zorder=3, **(line_style | dashes))
    return handles


def _group_series(
    results: Results, data: pd.DataFrame, group: PanelGroup, sparsities: list[float]
) -> list[list[Series]]:
    """The series of a panel, those with the same densities at all the sparsities together."""
    names = list(dict.fromkeys(data["layer"]))
    curves = [
        _list_curves(results, data[data["sparsity"] == sparsity], names) for sparsity in sparsities
    ]
    return marks.group_alike(
        {series: np.stack([curve[series] for curve in curves]) for series in group.series}
    )


def _list_curves(
    results: Results, here: pd.DataFrame, names: list[str]
) -> dict[Series, np.ndarray]:
    """The densities of every series at one sparsity, layer by layer, NaN where there is none."""
    table = here.pivot(index="series_index", columns="layer", values="density")
    densities = table.reindex(index=range(len(results.series)), columns=names)
    return dict(zip(results.series, densities.to_numpy(dtype=float), strict=True))


def _set_axes(axes: Axes, names: list[str], bottom: float, *, last: bool) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
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
