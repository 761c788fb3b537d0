"""What tests look for in figures: texts that are cut or hidden, and lines by their marker."""

from itertools import combinations, pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

# Methods enough to crowd a figure.
MANY = ("magnitude", "hrank", "fpgm", "synflow", "snip", "gmp", "rigl", "set", "random", "shuffled")


def read_texts(figure: Figure) -> list[Text]:
    """Every text that is seen."""
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


def check_labels(figure: Figure) -> None:
    """No text leaves the figure, legends lie beside panels and labels, tick labels and heads do not
    touch each other."""
    figure.set_dpi(100)
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    figure.draw(renderer)
    unseen = _list_unseen(figure)
    for text in read_texts(figure):
        box = text.get_window_extent(renderer)
        inside = (
            box.x0 >= -1
            and box.y0 >= -1
            and box.x1 <= figure.bbox.x1 + 1
            and box.y1 <= figure.bbox.y1 + 1
        )
        assert inside or id(text) in unseen, (text.get_text(), box)
    for axes in figure.axes:
        frame = axes.get_window_extent(renderer)
        labels = [
            one.get_window_extent(renderer) for one in axes.get_xticklabels() if one.get_text()
        ]
        shown = sorted(
            (box for box in labels if frame.x0 - 1 <= (box.x0 + box.x1) / 2 <= frame.x1 + 1),
            key=lambda b: b.x0,
        )
        assert all(left.x1 < right.x0 + 1 for left, right in pairwise(shown)), axes.get_xlabel()
        if (legend := axes.get_legend()) is not None:
            assert not legend.get_window_extent(renderer).overlaps(frame)
    shared = [legend.get_window_extent(renderer) for legend in figure.legends]
    for axes in figure.axes:
        label = axes.yaxis.label.get_window_extent(renderer)
        assert not any(label.overlaps(legend) for legend in shared), axes.get_ylabel()
    frames = [axes.get_window_extent(renderer) for axes in figure.axes]
    assert not any(one.overlaps(other) for one, other in combinations(frames, 2))
    legends = [
        one.get_window_extent(renderer)
        for axes in figure.axes
        if (one := axes.get_legend()) is not None
    ]
    assert not any(one.overlaps(other) for one, other in combinations(legends, 2))


def _list_unseen(figure: Figure) -> set[int]:
    """The ids of the labels of ticks outside their axis, which are placed but not drawn."""
    unseen = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low <= tick.get_loc() <= high:
                    unseen |= {id(tick.label1), id(tick.label2)}
    return unseen


def find_lines(axes: Axes, marker: str) -> list[Line2D]:
    return [
        line
        for line in axes.lines
        if line.get_marker() == marker and len(np.atleast_1d(line.get_xdata())) > 0
    ]
