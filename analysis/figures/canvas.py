"""The sheet that all figures are drawn on: panels at fixed places in inches, legends beside them, a
line at the foot.

Made with matplotlib's object interface and no global state. Places are computed instead of laid out
by matplotlib: no label can push a panel, and a figure is drawn once per file.
"""

import io
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.lines import Line2D

from analysis.figures.pdf_fonts import small_fonts

FONT = "DejaVu Sans"  # comes with matplotlib: the same on every machine
LABEL = 8  # points of the letters of axis labels
STYLE: dict[Any, Any] = {
    "font.family": FONT,
    "font.size": 8,
    "text.parse_math": False,  # a $ in a name is a $
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelsize": LABEL,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "axes.axisbelow": True,
    "grid.color": "0.92",
    "grid.linewidth": 0.7,
    "pdf.fonttype": 42,  # text stays text: journals refuse Type 3 fonts
    "svg.hashsalt": "pruning",
}
DPI = 200
# A little larger than at the default level 6, in half the time.
OPTIONS: dict[str, dict[str, Any]] = {"png": {"pil_kwargs": {"compress_level": 1}}}
KINDS = ("png", "pdf", "svg")
METADATA: dict[str, dict[str, None]] = {  # without dates, so that equal studies give equal bytes
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Producer": None},
    "svg": {"Date": None},
}
WIDTH = 7.4  # inches of the whole figure
PAGE_HEIGHT = 10.2  # inches: a page of A4 with margins of two centimetres
LINE = 0.146  # inches that a line of a legend takes
LEGEND = 1.85  # inches that a legend takes, beside its panels
LETTERS = 28  # that fit into a line of it
FOOT_LINE = 0.125  # inches that a line at the foot takes
TITLE, TITLE_LETTERS = 10.0, 92  # points of a title's letters, and how many of them fit
LEAST_TITLE = 0.7  # by which a longer title is written smaller, before it is cut
LETTER_OF_LABEL = 0.065  # inches that a letter of an axis label takes, at its usual size
BESIDE = 0.3  # inches by which the label of a y axis may be longer than the panel is high


@dataclass(frozen=True)
class Picture:
    """A figure as files. `name` is its file name without ending; `data` is what it was drawn from;
    `files` by kind."""

    name: str
    title: str
    caption: str
    data: pd.DataFrame
    files: dict[str, bytes] = field(repr=False)
    size: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Margins:
    """Inches around the panels: left of each row, below the last row, between rows (with tick
    labels and titles), and between panels of a row."""

    left: float = 0.62
    bottom: float = 0.50
    between: float = 0.46
    gap: float = 0.42
    top: float = 0.62
    legend: float = LEGEND


@contextmanager
def style() -> Iterator[None]:
    """Our style, whatever the reader's matplotlibrc says: it shall not change a paper's figures."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


class Canvas:
    """A figure with rows of panels: `axes[row][column]`. To be used within `style()`."""

    def __init__(
        self,
        title: str,
        *,
        heights: Sequence[float],
        columns: int = 1,
        margins: Margins | None = None,
        foot: str = "",
    ) -> None:
        margins = margins or Margins()
        self.margins = margins
        foot_lines = _wrap_foot(foot)
        low = margins.bottom + _find_foot_height(foot)
        self.height = margins.top + sum(heights) + margins.between * (len(heights) - 1) + low
        self.figure = Figure(figsize=(WIDTH, self.height))
        FigureCanvasAgg(self.figure)
        width = (
            WIDTH - margins.left - 0.12 - margins.legend - margins.gap * (columns - 1)
        ) / columns
        self.axes: list[list[Axes]] = []
        upper = self.height - margins.top
        for height in heights:
            starts = [margins.left + column * (width + margins.gap) for column in range(columns)]
            places = [
                (x / WIDTH, (upper - height) / self.height, width / WIDTH, height / self.height)
                for x in starts
            ]
            self.axes.append([self.figure.add_axes(place) for place in places])
            upper -= height + margins.between
        size = TITLE * min(1.0, max(TITLE_LETTERS / len(title or " "), LEAST_TITLE))
        text = shorten(title, int(TITLE_LETTERS * TITLE / size))
        self.figure.text(0.06 / WIDTH, 1 - 0.08 / self.height, text, va="top", fontsize=size)
        for index, line in enumerate(reversed(foot_lines)):
            y = (0.05 + FOOT_LINE * index) / self.height
            self.figure.text(0.06 / WIDTH, y, line, va="bottom", fontsize=6.2, color="0.35")

    def head(self, row: int, title: str, column: int = 0, *, size: float = 8.5) -> None:
        """Write a title above a panel."""
        axes = self.axes[row][column]
        axes.annotate(
            title,
            (0, 1),
            (0, 4),
            "axes fraction",
            "offset points",
            va="bottom",
            fontsize=size,
            color="0.2",
        )

    def add_legend(self, row: int, handles: Sequence[Line2D], heading: str = "") -> None:
        """A legend right of a row."""
        for handle in handles:
            handle.set_label("\n".join(_wrap(str(handle.get_label()))))
        legend = self.axes[row][-1].legend(
            handles=list(handles),
            title=heading or None,
            title_fontsize=7.5,
            alignment="left",
            loc="upper left",
            bbox_to_anchor=(1.02, 1.03),
            borderaxespad=0.0,
            frameon=False,
            handlelength=2.6,
            fontsize=7,
            labelspacing=0.3,
        )
        legend.set_in_layout(False)

    def add_shared_legend(self, handles: Sequence[Line2D]) -> None:
        """A legend in a line below the title, of what is the same in all panels; its room is that
        of `find_top(shared=True)`."""
        if not handles:
            return
        legend = self.figure.legend(
            handles=list(handles),
            loc="upper left",
            bbox_to_anchor=(0.06 / WIDTH, 1 - 0.27 / self.height),
            borderaxespad=0.0,
            borderpad=0.0,
            frameon=False,
            handlelength=2.2,
            columnspacing=1.4,
            fontsize=7,
            ncols=len(handles),
        )
        legend.set_in_layout(False)

    def save(self, kinds: Sequence[str]) -> tuple[dict[str, bytes], tuple[int, int]]:
        """The figure as files of these kinds, and its size in pixels as a PNG."""
        files = {}
        for kind in kinds:
            buffer = io.BytesIO()
            fonts = small_fonts() if kind == "pdf" else nullcontext()
            with fonts, warnings.catch_warnings():
                # Told once for a whole report, see `find_boxed_letters`.
                warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from")
                self.figure.savefig(
                    buffer, format=kind, dpi=DPI, metadata=METADATA[kind], **OPTIONS.get(kind, {})
                )
            files[kind] = buffer.getvalue()
        return files, (round(WIDTH * DPI), round(self.height * DPI))


def find_boxed_letters(texts: Iterable[str]) -> str:
    """The letters of some texts that figures show as boxes, each once: the font has none for
    them."""
    known = get_font(findfont(FONT)).get_charmap()
    letters = dict.fromkeys("".join(texts))
    return "".join(one for one in letters if one.isprintable() and ord(one) not in known)


def label_y(axes: Axes, text: str, *, size: float = LABEL) -> None:
    """Label the y axis, in several lines of smaller letters where the panel is not high enough for
    one."""
    figure = axes.get_figure()
    assert isinstance(figure, Figure), "a panel lies on a figure"
    inches = axes.get_position().height * figure.get_figheight() + BESIDE
    lines = textwrap.wrap(text, max(8, int(inches / (LETTER_OF_LABEL * size / LABEL))))
    if len(lines) < 2:
        axes.set_ylabel(text, fontsize=size)
    else:
        axes.set_ylabel("\n".join(lines), fontsize=size - 1, labelpad=1, linespacing=1.0)


def find_top(headed: bool, *, shared: bool = False) -> float:
    """Inches above the first row: the title, a shared legend and the heads of panels, where there
    are some."""
    return (0.62 if headed else 0.4) + (0.16 if shared else 0.0)


def find_room(margins: Margins, foot: str) -> float:
    """Inches that panels may take, with what lies between them, so that the figure fits on a
    page."""
    return PAGE_HEIGHT - margins.top - margins.bottom - _find_foot_height(foot)


def _wrap_foot(foot: str) -> list[str]:
    return textwrap.wrap(foot, 142)


def _find_foot_height(foot: str) -> float:
    return 0.06 + FOOT_LINE * len(_wrap_foot(foot))


def count_lines(labels: Sequence[str]) -> int:
    """Lines that a legend with these labels takes."""
    return sum(max(1, len(_wrap(label))) for label in labels)


def _wrap(label: str) -> list[str]:
    return textwrap.wrap(label, LETTERS, break_on_hyphens=False)


def shorten(text: str, most: int) -> str:
    """A text without its middle where it is too long: names differ at their ends."""
    if len(text) <= most:
        return text
    end = (most - 5) // 2
    return f"{text[: most - 5 - end].rstrip()} ... {text[-end:].lstrip()}"
