"""The sparsity-accuracy figure: a row of panels per family, the whole range and what lies near the
dense network."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.captions import describe_figure, describe_positions, name_figure
from analysis.figures import marks
from analysis.figures.axes import find_limits, is_cut, set_axis
from analysis.figures.canvas import LINE, Canvas, Margins, Picture, count_lines, find_top, style
from analysis.figures.panels import View, find_pages, find_views
from analysis.series import Series, Setting
from analysis.statistics.results import Results

NEAR = 5.0  # points below the dense network that the zoom shows
HEIGHT = 1.6


def draw_accuracy(results: Results, setting: Setting, kinds: tuple[str, ...]) -> list[Picture]:
    """The figures of a setting, several where one would not fit on a page; they have all series
    between them."""
    pages = find_pages(find_views(results.list_measured_series(setting)) or [View("", ())])
    title = f"{results.metric.title[:1].upper() + results.metric.title[1:]} against sparsity, {setting.label}"
    pictures = []
    for number, views in enumerate(pages):
        part = f" ({number + 1} of {len(pages)})" if len(pages) > 1 else ""
        name = name_figure(
            "sparsity-accuracy", results.metric, setting, str(number + 1) if part else ""
        )
        with style():
            canvas, caption = _draw_page(results, setting, views, title + part)
            files, size = canvas.save(kinds)
        pictures.append(
            Picture(
                name,
                title + part,
                caption,
                results.cells_of(setting).drop(columns=["code"]),
                files,
                size,
            )
        )
    return pictures


def _draw_page(
    results: Results, setting: Setting, views: list[View], title: str
) -> tuple[Canvas, str]:
    dense, floor = results.find_dense(setting), results.find_random_pruning(setting)
    zoomed = dense is not None and _is_worth_a_zoom(results, setting, float(dense["mean"]))
    caption, foot = describe_figure(
        results, setting, _remarks(results, setting, views, zoomed=zoomed)
    )
    counts = [
        count_lines([one.label for one in (*view.series, *view.references)]) + 3.5 for view in views
    ]
    heights = [max(HEIGHT, LINE * count) for count in counts]
    margins = Margins(top=find_top(zoomed or any(view.title for view in views)))
    canvas = Canvas(title, heights=heights, columns=2 if zoomed else 1, margins=margins, foot=foot)
    places = results.cells_of(setting)["place"]
    for row, view in enumerate(views):
        handles: list[Line2D] = []
        for column, axes in enumerate(canvas.axes[row]):
            span = set_axis(axes, places, label=row == len(views) - 1)
            axes.set_ylim(*_find_limits(results, setting, view, zoom=column == 1))
            axes.set_xlim(*span)
            handles = _draw_panel(axes, results, setting, view, floor)
        canvas.axes[row][0].set_ylabel(results.metric.heading)
        canvas.head(row, view.title)
        if zoomed:
            canvas.head(row, f"within {NEAR:g} points of dense", 1)
        canvas.add_legend(row, handles)
    return canvas, caption


def _draw_panel(
    axes: Axes, results: Results, setting: Setting, view: View, floor: Series | None
) -> list[Line2D]:
    """Everything in one panel; returns the legend's entries."""
    handles = []
    if (dense := results.find_dense(setting)) is not None:
        handles.append(
            marks.draw_dense(axes, dense, results.seed_values(dense.to_frame().T)["value"])
        )
    if floor is not None and floor not in view.series:
        cells = results.measured_cells(setting, floor)
        handles.append(
            marks.draw_floor(axes, 1 - cells["place"], cells["mean"], axes.get_ylim()[0])
        )
    for one in view.context:
        cells = results.measured_cells(setting, one)
        marks.draw_background(axes, 1 - cells["place"], cells["mean"])
    shifts = marks.find_shifts([one for one in view.series if one not in view.quiet])
    shade = marks.find_shade(len(shifts))
    for one in (*view.references, *view.series):
        cells = results.measured_cells(setting, one)
        plain = one in view.references or one in view.quiet
        half = None if plain else cells["half_width"]
        thin = one in view.references
        entry = marks.draw_course(
            axes, 1 - cells["place"], cells["mean"], half, one, thin=thin, shade=shade
        )
        handles.append(entry)
        several = cells[cells["n"].between(2, marks.SEEDS)]  # one seed is its own mean
        if not plain and len(several):
            seeds = results.seed_values(several)
            places = seeds["cell"].map(cells["place"])
            marks.draw_seeds(axes, 1 - places, seeds["value"], one, shifts[one])
    if view.context:
        handles.append(
            Line2D([], [], color=marks.BACKGROUND, linewidth=0.7, label="the other methods")
        )
    return handles


def _find_limits(
    results: Results, setting: Setting, view: View, *, zoom: bool
) -> tuple[float, float]:
    """The y axis of a panel."""
    dense = results.find_dense(setting)
    labels = [label for one in view.series for label in results.measured_cells(setting, one).index]
    drawn = results.cells.loc[labels if dense is None else [*labels, dense.name]]
    values = results.seed_values(drawn)["value"]
    if zoom and dense is not None:
        top = max(
            float(values.max()),
            float(dense["mean"] + (dense["half_width"] if dense["n"] > 1 else 0.0)),
        )
        return float(dense["mean"]) - NEAR, min(top + 0.4, 100.4)
    return find_limits(drawn, values, results.metric)


def _is_worth_a_zoom(results: Results, setting: Setting, dense: float) -> bool:
    """Whether some points lie near the dense network and others far away."""
    means = results.cells_of(setting)["mean"].dropna()
    pruned = means[results.cells_of(setting)["sparsity"].fillna(1.0) > 0]
    return bool(
        results.metric.unit == "%"
        and pruned.gt(dense - NEAR).any()
        and pruned.min() < dense - 1.5 * NEAR
    )


def _remarks(results: Results, setting: Setting, views: list[View], *, zoomed: bool) -> list[str]:
    """What the caption says beside n, interval, data set and commit."""
    cells = results.cells_of(setting)
    remarks = []
    if (cells["n"] > 1).any():
        loud = [
            results.measured_cells(setting, one)
            for view in views
            for one in view.series
            if one not in view.quiet
        ]
        limits = {view: _find_limits(results, setting, view, zoom=False) for view in views}
        cut = any(
            is_cut(results.measured_cells(setting, one), limits[view])
            for view in views
            for one in view.series
            if one not in view.quiet
        )
        remarks.append(
            "lines are means over seeds, bands their intervals"
            + (", cut at the frame" if cut else "")
        )
        if loud and pd.concat(loud)["n"].between(2, marks.SEEDS).any():
            remarks.append("small marks are single seeds")
    remarks += ["right: the same, near the dense network"] if zoomed else []
    if results.find_dense(setting) is not None:
        remarks.append("the dashed cross-hair is the dense network")
    remarks += (
        ["of a large family, early stages have no bands"]
        if any(view.quiet for view in views)
        else []
    )
    return [*remarks, *describe_positions(cells)]
