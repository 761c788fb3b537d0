"""Two studies in one figure: what each method has in both, and by how much they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.lines import Line2D

from analysis.captions import capitalise, describe_commits, format_counts
from analysis.figures import marks
from analysis.figures.axes import set_axis
from analysis.figures.canvas import LINE, Canvas, Margins, Picture, count_lines, find_top, style
from analysis.figures.panels import find_views
from analysis.series import find_series
from analysis.statistics.paired_tests import EQUAL

if TYPE_CHECKING:
    from analysis.statistics.study_comparison import StudyComparison

HEIGHT = 1.5


def draw_versus(versus: StudyComparison, kinds: tuple[str, ...]) -> list[Picture]:
    """A figure per data set and model: the difference B less A against sparsity, in panels as those
    of the accuracy."""
    metric = versus.a.metric
    pictures = []
    for (dataset, model), here in versus.cells.groupby(["dataset", "model"], sort=False):
        pruned = here[here["method"] != "dense"]
        if pruned.empty:
            continue
        views = find_views(find_series(pruned, {**versus.b.study.cards, **versus.a.study.cards}))
        title = f"{capitalise(metric.title)}: B less A, {dataset}, {model}"
        counts = format_counts([*here["n_a"], *here["n_b"]])
        a, b = (f"study {one.study.name}, {describe_commits(one)}" for one in (versus.a, versus.b))
        text = f"{counts}; lines are mean differences of B less A, bands their 95 % Student t-intervals, paired by "
        text += f"seed where seeds are shared; A: {a}; B: {b}"
        with style():
            heights = [
                max(HEIGHT, LINE * (count_lines([one.label for one in view.series]) + 2))
                for view in views
            ]
            canvas = Canvas(
                title,
                heights=heights,
                margins=Margins(left=0.7, top=find_top(any(view.title for view in views))),
                foot=text,
            )
            for row, view in enumerate(views):
                axes = canvas.axes[row][0]
                span = set_axis(axes, here["place_a"], label=row == len(views) - 1)
                axes.axhline(0, color="black", linestyle=(0, (6, 3)), linewidth=0.9)
                handles: list[Line2D] = []
                for one in view.series:
                    same = (pruned["method"] == one.method) & (pruned["knobs"] == one.knobs)
                    cells = pruned[same & (pruned["stage"] == one.stage)].sort_values("place_a")
                    half = cells["half_width"] if one not in view.quiet else None
                    shade = marks.find_shade(len(view.series))
                    x = 1 - cells["place_a"]
                    handles.append(
                        marks.draw_course(axes, x, cells["difference"], half, one, shade=shade)
                    )
                axes.set_xlim(*span)
                low, high = axes.get_ylim()
                if (
                    max(-low, high) < EQUAL or high - low < EQUAL
                ):  # an axis of rounding errors would tell nothing
                    axes.set_ylim(-0.5, 0.5)
                axes.set_ylabel(f"B less A ({'points' if metric.unit == '%' else metric.unit})")
                canvas.head(row, view.title)
                canvas.add_legend(row, handles)
            files, size = canvas.save(kinds)
        caption = f"{capitalise(metric.heading)}, {dataset}, {model}, {text}."
        name = f"versus-{metric.column.replace('_', '-')}-{dataset}-{model}".replace("/", "-")
        pictures.append(Picture(name, title, caption, here, files, size))
    return pictures
