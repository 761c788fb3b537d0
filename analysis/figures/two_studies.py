"""Two studies in one figure: by how much each method differs from one to the other."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.captions import capitalise, describe_commits, format_counts
from analysis.figures import marks
from analysis.figures.axes import set_axis
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
from analysis.series import find_series
from analysis.statistics.comparisons import EQUAL
from analysis.statistics.study_comparison import StudyComparison
from trainables.storage.layout import make_file_name

HEIGHT = 1.5


def draw_versus(versus: StudyComparison, kinds: tuple[str, ...]) -> list[Picture]:
    """Figures per data set and model: the difference B less A against sparsity, in panels as those
    of the accuracy."""
    metric = versus.a.metric
    pictures = []
    for (dataset, model), cells in versus.cells.groupby(["dataset", "model"], sort=False):
        pruned = cells[cells["method"] != "dense"]
        if pruned.empty:
            continue
        cards = {**versus.b.study.cards, **versus.a.study.cards}
        groups = group_into_panels(find_series(pruned, cards))
        foot = _describe(versus, cells)
        caption = f"{capitalise(metric.heading)}, {dataset}, {model}, {foot}."
        margins = Margins(
            left=0.7, top=find_top(any(group.title for group in groups), shared=True), between=0.3
        )
        least = [
            LINE * (count_lines([series.label for series in group.series]) + 0.5)
            for group in groups
        ]
        pages = split_into_pages(
            groups,
            [max(HEIGHT, height) for height in least],
            least,
            room=find_room(margins, foot),
            between=margins.between,
        )
        title = f"{capitalise(metric.title)}: B less A, {dataset}, {model}"
        where = make_file_name(f"{dataset}-{model}").replace("_", "-")
        for number, page in enumerate(pages, 1):
            part = f" ({number} of {len(pages)})" if len(pages) > 1 else ""
            name = f"versus-{metric.column.replace('_', '-')}-{where}"
            with style():
                canvas = Canvas(title + part, heights=page.heights, margins=margins, foot=foot)
                _draw_page(canvas, versus, cells, page)
                files, size = canvas.save(kinds)
            name += f"-{number}" if part else ""
            pictures.append(Picture(name, title + part, caption, cells, files, size))
    return pictures


def _describe(versus: StudyComparison, cells: pd.DataFrame) -> str:
    """What the caption says beside the metric and the place."""
    counts = format_counts(cells["n"].tolist())
    a, b = (
        f"study {name}, {describe_commits(results)}"
        for name, results in zip(versus.name_studies(), (versus.a, versus.b), strict=True)
    )
    return (
        f"{counts} seeds behind a difference; lines are mean differences of B less A, bands their "
        f"95 % intervals, paired by seed where seeds are shared; A: {a}; B: {b}"
    )


def _draw_page(
    canvas: Canvas, versus: StudyComparison, cells: pd.DataFrame, page: FigurePage
) -> None:
    unit = versus.a.metric.unit
    panels = [canvas.axes[row][0] for row in range(len(page.groups))]
    for row, (axes, group) in enumerate(zip(panels, page.groups, strict=True)):
        span = set_axis(axes, cells["place_a"], label=row == len(page.groups) - 1)
        axes.axhline(0, **marks.DENSE_STYLE)
        canvas.add_legend(row, _draw_panel(axes, cells, group))
        axes.set_xlim(*span)
        axes.set_ylabel(f"B less A ({'points' if unit == '%' else unit})")
        canvas.head(row, group.title)
    low = min(axes.get_ylim()[0] for axes in panels)
    high = max(axes.get_ylim()[1] for axes in panels)
    if max(-low, high) < EQUAL or high - low < EQUAL:
        low, high = -0.5, 0.5  # an axis of rounding errors would show nothing
    for axes in panels:
        axes.set_ylim(low, high)
    canvas.add_shared_legend([Line2D([], [], label="no difference", **marks.DENSE_STYLE)])


def _draw_panel(axes: Axes, cells: pd.DataFrame, group: PanelGroup) -> list[Line2D]:
    handles = []
    for series in group.series:
        same = (cells["method"] == series.method) & (cells["knobs"] == series.knobs)
        of_series = cells[same & (cells["stage"] == series.stage)].sort_values("place_a")
        band = None if series in group.quiet else marks.find_band(of_series, "difference")
        shade = marks.find_shade(len(group.series))
        handles.append(
            marks.draw_curve(
                axes, 1 - of_series["place_a"], of_series["difference"], band, series, shade=shade
            )
        )
    return handles
