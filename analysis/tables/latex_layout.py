"""How a table fits on a LaTeX page: the size of type, which columns may wrap, and the parts that a
too wide or too long one is split into.

Widths are estimated by the metrics of Computer Modern, LaTeX's own type, with some room to spare.
The narrowest common page counts: one column of `article` on letter paper.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

TEXT_WIDTH = 335.0  # points of the 345 of the page
COLUMN_WIDTH = 222.0  # points of the 229 of one of two columns
TEXT_HEIGHT = 520.0  # points of the 550 of the page
CAPTION_LETTERS = 68  # in a line of a caption of that width
CAPTION_LINE = 12.0  # points
GAPS = {"small": 8.0, "footnotesize": 6.0, "scriptsize": 5.0}  # points between two columns
# Points of a digit and of a line; small type is wider for its size.
DIGITS = {"small": 4.63, "footnotesize": 4.25, "scriptsize": 3.99}
LINES = {"small": 11.0, "footnotesize": 9.5, "scriptsize": 8.0}
NARROW = set("ijl.,:;'|![]()ftr ")
WIDE = set("mwMWABCDEFGHKNOPQRSTUVXYZ%&@±−×+<>=~–")
WRAPPED = 13  # letters that a column of texts may be narrowed to


@dataclass(frozen=True)
class TablePart:
    """Some columns of some rows; `wraps` are the columns (of the table) whose texts may break."""

    columns: tuple[int, ...]
    rows: range


@dataclass(frozen=True)
class TableLayout:
    """The size of type, the columns that wrap, and the parts of a table, each of which fits."""

    size: str
    wraps: frozenset[int]
    parts: tuple[TablePart, ...]
    is_narrow: bool  # it fits into one of two columns

    @property
    def gap(self) -> float:
        """Points at either side of a column."""
        return GAPS[self.size] / 2


def lay_out(
    head: Sequence[Sequence[str]],
    rows: Sequence[Sequence[str]],
    text_columns: int,
    caption: str,
) -> TableLayout:
    """The layout of a table: as it is where it fits, with wrapped texts where that is enough, else
    in parts that repeat the columns of texts.

    Args:
        head: the headings, each as the lines that it is written in.
    """
    count = len(head)
    every = tuple(range(count))
    for size in DIGITS:
        widths = [_find_width(head[at], [row[at] for row in rows], size) for at in every]
        total = sum(widths) + GAPS[size] * count
        if total <= TEXT_WIDTH:
            parts = _split_rows([every], rows, {}, size, caption)
            return TableLayout(size, frozenset(), parts, total <= COLUMN_WIDTH)
    for size in ("footnotesize", "scriptsize"):
        least, wraps = _narrow(head, rows, text_columns, size)
        if sum(least) + GAPS[size] * count <= TEXT_WIDTH:
            wrapped = _share_room(least, wraps, [every], GAPS[size])
            parts = _split_rows([every], rows, wrapped, size, caption)
            return TableLayout(size, wraps, parts, is_narrow=False)
    size = "scriptsize"
    least, wraps = _narrow(head, rows, text_columns, size)
    groups = _split_columns(least, text_columns, GAPS[size])
    wrapped = _share_room(least, wraps, groups, GAPS[size])
    parts = _split_rows(groups, rows, wrapped, size, caption)
    return TableLayout(size, wraps, parts, is_narrow=False)


def _find_width(head: Sequence[str], cells: Sequence[str], size: str) -> float:
    """Points of a column."""
    return max((measure(text, size) for text in (*head, *cells)), default=0.0)


def measure(text: str, size: str) -> float:
    """Points of a text, as if it were bold."""
    units = sum(0.62 if sign in NARROW else 1.6 if sign in WIDE else 1.08 for sign in text)
    return units * DIGITS[size]


def _narrow(
    head: Sequence[Sequence[str]], rows: Sequence[Sequence[str]], text_columns: int, size: str
) -> tuple[list[float], frozenset[int]]:
    """The least width of every column where texts wrap, and the columns that do."""
    widths, wraps = [], set()
    for at, lines in enumerate(head):
        cells = [row[at] for row in rows]
        width = _find_width(lines, cells, size)
        limit = WRAPPED * 1.1 * DIGITS[size]
        if at < text_columns and width > limit:
            words = [word for text in (*lines, *cells) for word in text.split()]
            width = max(limit, _find_width([], words, size))
            wraps.add(at)
        widths.append(width)
    return widths, frozenset(wraps)


def _split_columns(widths: Sequence[float], text_columns: int, gap: float) -> list[tuple[int, ...]]:
    """Groups of columns that fit beside the columns of texts, about as many in each."""
    texts = tuple(range(text_columns))
    taken = sum(widths[at] + gap for at in texts)
    numbers = range(text_columns, len(widths))
    room = max(TEXT_WIDTH - taken, max(widths[at] + gap for at in numbers))
    needed = math.ceil(sum(widths[at] + gap for at in numbers) / room)
    for count in range(needed, len(numbers) + 1):
        target = sum(widths[at] + gap for at in numbers) / count
        groups: list[list[int]] = [[]]
        filled = 0.0
        for at in numbers:
            width = widths[at] + gap
            is_full = filled + width > room
            if groups[-1] and (is_full or (filled + width / 2 > target and len(groups) < count)):
                groups.append([])
                filled = 0.0
            groups[-1].append(at)
            filled += width
        if len(groups) <= count:
            break
    return [(*texts, *group) for group in groups]


def _share_room(
    least: Sequence[float],
    wraps: frozenset[int],
    groups: Sequence[tuple[int, ...]],
    gap: float,
) -> dict[int, float]:
    """The widths of the columns that wrap, which share what the others leave of the page."""
    if not wraps:
        return {}
    widest = max(sum(least[at] + gap for at in group) for group in groups)
    extra = max(TEXT_WIDTH - widest, 0.0) / len(wraps)
    return {at: least[at] + extra for at in wraps}


def _split_rows(
    groups: Sequence[tuple[int, ...]],
    rows: Sequence[Sequence[str]],
    wrapped: dict[int, float],
    size: str,
    caption: str,
) -> tuple[TablePart, ...]:
    """The parts of groups of columns: as many rows in each as fit on a page below the caption."""
    lines = math.ceil(len(caption) / CAPTION_LETTERS) + 1
    room = max(TEXT_HEIGHT - CAPTION_LINE * lines - 5 * LINES[size], 12 * LINES[size])
    heights = [
        LINES[size]
        * max([1, *(math.ceil(measure(row[at], size) / width) for at, width in wrapped.items())])
        for row in rows
    ]
    starts = _balance(heights, room)
    ends = [*starts[1:], len(rows)]
    return tuple(
        TablePart(group, range(start, end))
        for start, end in zip(starts, ends, strict=True)
        for group in groups
    )


def _balance(heights: Sequence[float], room: float) -> list[int]:
    """Where parts of at most `room` begin: about as few as there can be and as high as each other,
    so that no few rows are left over for the last."""
    count = max(1, math.ceil(sum(heights) / room))
    while len(starts := _share_out(heights, room, count)) > count:
        count += 1
    return starts


def _share_out(heights: Sequence[float], room: float, count: int) -> list[int]:
    """Where so many parts begin, each with its share of what is left; more, where `room` asks for
    them."""
    starts, filled, left = [0], 0.0, sum(heights)
    for index, height in enumerate(heights):
        open_parts = max(count - len(starts) + 1, 1)
        is_full = filled + height > room
        if index > starts[-1] and (is_full or filled + height / 2 > left / open_parts):
            starts.append(index)
            left -= filled
            filled = 0.0
        filled += height
    return starts


def wrap_heading(heading: str, cells: Sequence[str]) -> list[str]:
    """A heading in lines that are not longer than the widest cell, or eight letters."""
    most = max([8, *map(len, cells)])
    return textwrap.wrap(heading, most, break_long_words=False, break_on_hyphens=False) or [""]
