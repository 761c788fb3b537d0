"""The sparsity-accuracy figure: a row of panels per family, the whole range and what lies near the
dense network, on the same axes in all rows."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.captions import (
    capitalise,
    describe_figure,
    describe_positions,
    name_figure,
    remark_outside,
)
from analysis.figures import marks
from analysis.figures.axes import find_finite_ends, find_limits, is_cut, set_axis
from analysis.figures.canvas import (
    LINE,
    Canvas,
    Margins,
    Picture,
    count_lines,
    find_room,
    find_top,
    label_y,
    style,
)
from analysis.figures.panels import FigurePage, PanelGroup, group_into_panels, split_into_pages
from analysis.series import Series, Setting
from analysis.statistics.results import Results

NEAR = (5.0, 10.0, 20.0)  # points below the dense network that the zoom may show
HEIGHT = 1.6


@dataclass(frozen=True)
class _Layout:
    """What all panels of the figure share: the y axes, how far the zoom goes (None: there is none),
    the random pruning in the background, and how many points seeds stand aside of their means."""

    whole: tuple[float, float]
    zoom: tuple[float, float] | None
    near: float | None
    random: Series | None
    aside: float


def draw_accuracy(results: Results, setting: Setting, kinds: tuple[str, ...]) -> list[Picture]:
    """The figures of a setting, several where one would not fit on a page; they have all series
    between them."""
    groups = group_into_panels(results.list_measured_series(setting)) or [PanelGroup("", ())]
    layout = _find_layout(results, setting, groups)
    remarks = _list_remarks(results, setting, groups, layout)
    caption, foot = describe_figure(results, setting, remarks)
    headed = layout.zoom is not None or any(group.title for group in groups)
    margins = Margins(top=find_top(headed, shared=True), between=0.3)
    least = [
        LINE * (count_lines([series.label for series in group.series]) + 0.5) for group in groups
    ]
    pages = split_into_pages(
        groups,
        [max(HEIGHT, height) for height in least],
        least,
        room=find_room(margins, foot),
        between=margins.between,
    )
    title = f"{capitalise(results.metric.title)} against sparsity, {setting.label}"
    data = results.cells_of(setting).drop(columns=["code"])
    pictures = []
    for number, page in enumerate(pages, 1):
        part = f" ({number} of {len(pages)})" if len(pages) > 1 else ""
        name = name_figure(
            "sparsity-accuracy", results.metric, setting, str(number) if part else ""
        )
        with style():
            canvas = _draw_page(results, setting, page, layout, title + part, margins, foot)
            files, size = canvas.save(kinds)
        pictures.append(Picture(name, title + part, caption, data, files, size))
    return pictures


def _draw_page(
    results: Results,
    setting: Setting,
    page: FigurePage,
    layout: _Layout,
    title: str,
    margins: Margins,
    foot: str,
) -> Canvas:
    columns = 1 if layout.zoom is None else 2
    canvas = Canvas(title, heights=page.heights, columns=columns, margins=margins, foot=foot)
    places = results.cells_of(setting)["place"]
    shared: list[Line2D] = []
    for row, group in enumerate(page.groups):
        handles: list[Line2D] = []
        for axes, limits in zip(canvas.axes[row], (layout.whole, layout.zoom), strict=False):
            span = set_axis(axes, places, label=row == len(page.groups) - 1, aside=layout.aside)
            axes.set_ylim(*(limits or layout.whole))
            axes.set_xlim(*span)
            common, handles = _draw_panel(axes, results, setting, group, layout.random)
            shared = common if len(common) > len(shared) else shared
        label_y(canvas.axes[row][0], results.metric.heading)
        canvas.head(row, group.title)
        if layout.near is not None:
            canvas.head(row, f"within {layout.near:g} points of dense", 1)
        canvas.add_legend(row, handles)
    canvas.add_shared_legend(shared)
    return canvas


def _draw_panel(
    axes: Axes, results: Results, setting: Setting, group: PanelGroup, random: Series | None
) -> tuple[list[Line2D], list[Line2D]]:
    """Everything in one panel; returns the entries of the shared legend, and of the panel's own."""
    shared = []
    if (dense := results.find_dense(setting)) is not None:
        seeds = results.seed_values(dense.to_frame().T)["value"]
        shared.append(marks.draw_dense(axes, dense, seeds))
    if random is not None and random not in group.series:
        cells = results.measured_cells(setting, random)
        bottom = axes.get_ylim()[0]
        shared.append(marks.draw_random_pruning(axes, 1 - cells["place"], cells["mean"], bottom))
    others = [results.measured_cells(setting, series) for series in group.context]
    marks.draw_background(axes, [(1 - cells["place"], cells["mean"]) for cells in others])
    shared += marks.list_shared_entries(
        context=bool(group.context), references=bool(group.references)
    )
    for series in group.references:
        cells = results.measured_cells(setting, series)
        marks.draw_curve(axes, 1 - cells["place"], cells["mean"], None, series, thin=True)
    return shared, _draw_methods(axes, results, setting, group)


def _draw_methods(
    axes: Axes, results: Results, setting: Setting, group: PanelGroup
) -> list[Line2D]:
    """The curves of a panel's own methods, with their intervals and seeds."""
    handles = []
    shifts = marks.find_shifts([series for series in group.series if series not in group.quiet])
    shade = marks.find_shade(len(shifts))
    for series in group.series:
        cells = results.measured_cells(setting, series)
        band = None if series in group.quiet else marks.find_band(cells)
        handles.append(
            marks.draw_curve(axes, 1 - cells["place"], cells["mean"], band, series, shade=shade)
        )
        several = cells[cells["n"].between(2, marks.SEEDS)]  # one seed is its own mean
        if series not in group.quiet and len(several):
            seeds = results.seed_values(several)
            places = seeds["cell"].map(cells["place"])
            marks.draw_seeds(axes, 1 - places, seeds["value"], series, shifts[series])
    return handles


def _find_layout(results: Results, setting: Setting, groups: list[PanelGroup]) -> _Layout:
    """The axes that all rows share."""
    cells = results.cells_of(setting)
    quiet = {series for group in groups for series in group.quiet}
    drawn = cells[(cells["n"] > 0) & cells["place"].notna()]
    values = results.seed_values(drawn)["value"]
    is_loud = [results.series[index] not in quiet for index in drawn["series_index"]]
    with_bands = drawn[is_loud] if any(is_loud) else drawn
    whole = find_limits(with_bands, pd.concat([values, drawn["mean"]]), results.metric)
    dense = results.find_dense(setting)
    near = None if dense is None else _find_zoom(results, drawn, float(dense["mean"]))
    zoom = None
    if dense is not None and near is not None:
        upper = float(marks.find_band(dense.to_frame().T)[1].iloc[0])
        highest = find_finite_ends(values)[1]
        top = highest if pd.isna(upper) else max(highest, upper)
        zoom = (float(dense["mean"]) - near, min(top + 0.08 * near, 100.0 + 0.08 * near))
    shifts = [
        shift
        for group in groups
        for shift in marks.find_shifts([one for one in group.series if one not in quiet]).values()
    ]
    aside = max(shifts, default=0.0) + marks.SEED_SIZE if (drawn["n"] > 1).any() else 0.0
    return _Layout(whole, zoom, near, results.find_random_pruning(setting), aside)


def _find_zoom(results: Results, drawn: pd.DataFrame, dense: float) -> float | None:
    """How many points below the dense network the zoom shows: so many that half of the results of
    pruned networks lie in it; None where none lies near, or none far away."""
    means = drawn.loc[drawn["sparsity"].fillna(1.0) > 0, "mean"]
    near = next((near for near in NEAR if means.gt(dense - near).mean() >= 0.5), NEAR[-1])
    is_useful = means.gt(dense - near).any() and means.lt(dense - 1.5 * near).any()
    return near if results.metric.unit == "%" and is_useful else None


def _list_remarks(
    results: Results, setting: Setting, groups: list[PanelGroup], layout: _Layout
) -> list[str]:
    """What the caption says beside n, interval, data set and commit."""
    cells = results.cells_of(setting)
    remarks = []
    loud = [
        results.measured_cells(setting, series)
        for group in groups
        for series in group.series
        if series not in group.quiet
    ]
    if (cells["n"] > 1).any():
        cut = ", cut at the frame" if any(is_cut(part, layout.whole) for part in loud) else ""
        remarks.append(f"lines are means over seeds, bands their intervals{cut}")
        if loud and pd.concat(loud)["n"].between(2, marks.SEEDS).any():
            remarks.append("small marks are single seeds")
    remarks += ["right: the same, near the dense network"] if layout.zoom is not None else []
    infinite = int(np.isinf(cells["mean"].to_numpy(dtype=float)).sum())
    remarks += remark_outside(infinite, "infinite result")
    if results.find_dense(setting) is not None:
        remarks.append("the dashed cross-hair is the dense network")
    if any(group.quiet for group in groups):
        remarks.append("of a large family, early stages have no bands")
    return [*remarks, *describe_positions(cells)]
