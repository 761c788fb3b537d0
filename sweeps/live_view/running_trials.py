"""The running trials as a table of the live view."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.table import Table
from rich.text import Text

from sweeps.running.progress import duration

TEXTS = ("running", "next step")
COLUMNS = (
    "running",
    "sparsity",
    "seed",
    "next step",
    "level",
    "epochs",
    "train loss",
    "val. top-1 %",
    "time",
)
# The width of the terminal from which on there is room for a column.
MIN_WIDTH = {"level": 100, "train loss": 100, "epochs": 70, "seed": 70}


@dataclass
class RunningTrial:
    """What is known of a trial that runs."""

    label: str
    sparsity: str
    seed: int
    since: float
    next_step: str = "starting"
    level: str = ""
    epochs: str = ""
    loss: float | None = None
    top1: float | None = None

    def cells(self, now: float) -> dict[str, str]:
        """Its row of the table, by column."""
        return {
            "running": self.label,
            "sparsity": self.sparsity,
            "seed": str(self.seed),
            "next step": self.next_step,
            "level": self.level,
            "epochs": self.epochs,
            "train loss": "" if self.loss is None else f"{self.loss:.3f}",
            "val. top-1 %": "" if self.top1 is None else f"{self.top1:.2f}",
            "time": duration(now - self.since),
        }


def draw_running_trials(trials: Sequence[RunningTrial], *, rows: int, width: int) -> Table:
    """The first trials in so many rows of a terminal, and how many more there are."""
    columns = [column for column in COLUMNS if width >= MIN_WIDTH.get(column, 0)]
    now = time.monotonic()
    cells = [trial.cells(now) for trial in trials[:rows]]
    widths = _fit_widths(columns, cells, width)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        justify: Literal["left", "right"] = "left" if column in TEXTS else "right"
        table.add_column(
            column, justify=justify, no_wrap=True, overflow="ellipsis", width=widths[column]
        )
    for row in cells:
        table.add_row(*(Text(row[column]) for column in columns))
    if len(trials) > rows:
        table.add_row(f"and {len(trials) - rows} more")
    return table


def _fit_widths(columns: list[str], cells: list[dict[str, str]], width: int) -> dict[str, int]:
    """The widths of columns. Texts are cut to make room for whole numbers."""
    widths = {
        column: max([len(column), *(len(row[column]) for row in cells)]) for column in columns
    }
    numbers = sum(widths[column] for column in columns if column not in TEXTS)
    free = width - 2 * len(columns) - numbers
    widths["next step"] = min(widths["next step"], max(9, free // 2))
    widths["running"] = min(widths["running"], max(9, free - widths["next step"]))
    return widths
