"""A table: cells made once as text, written as Markdown, LaTeX, HTML or plain lines; CSV has the
numbers behind it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from analysis.tables import latex


@dataclass(frozen=True)
class Table:
    """A table for readers and the numbers behind it.

    name: its file name and LaTeX label. head, cells: text; `text_columns` columns come first and
    are aligned left, the others right. rules: the row numbers before which a line is drawn. raw:
    what CSV gets. bold: cells (row, column) that stand out.
    """

    name: str
    title: str
    caption: str
    head: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    text_columns: int
    rules: frozenset[int]
    raw: pd.DataFrame
    bold: frozenset[tuple[int, int]] = field(default=frozenset())

    def to_text(self) -> str:
        """The table as lines for a terminal; what is bold has a star."""
        rows = self._mark("{}*")
        width = [max(map(len, column)) for column in zip(self.head, *rows, strict=True)]
        lines = ["  ".join(self._pad(row, width)).rstrip() for row in (self.head, *rows)]
        return "\n".join([lines[0], "  ".join("-" * letters for letters in width), *lines[1:]])

    def to_markdown(self) -> str:
        """The table as GitHub Markdown, caption below."""
        rows = [
            tuple(cell.replace("|", "\\|") for cell in row)
            for row in (self.head, *self._mark("**{}**"))
        ]
        widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
        bar = [
            "-" * width if column < self.text_columns else "-" * (width - 1) + ":"
            for column, width in enumerate(widths)
        ]
        lines = [self._pad(rows[0], widths), bar, *(self._pad(row, widths) for row in rows[1:])]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{self.caption}\n"

    def to_latex(self) -> str:
        """The table as LaTeX: a float, or several where it would not fit on a page."""
        return latex.write_table(
            name=self.name,
            title=self.title,
            caption=self.caption,
            head=self.head,
            rows=self.cells,
            text_columns=self.text_columns,
            rules=self.rules,
            bold=self.bold,
        )

    def to_csv(self) -> str:
        """The raw numbers, unrounded."""
        return self.raw.to_csv(index=False, lineterminator="\n")

    def _mark(self, pattern: str) -> list[tuple[str, ...]]:
        """The cells, those that stand out written by a pattern."""
        if not self.bold:
            return list(self.cells)
        return [
            tuple(
                pattern.format(cell) if (row, column) in self.bold and cell else cell
                for column, cell in enumerate(cells)
            )
            for row, cells in enumerate(self.cells)
        ]

    def _pad(self, row: Sequence[str], widths: Sequence[int]) -> list[str]:
        return [
            cell.ljust(width) if index < self.text_columns else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
