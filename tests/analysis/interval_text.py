"""Intervals in the texts of tables, for tests that are of something else."""

import re
from collections.abc import Iterable


def hide_intervals(rows: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The rows of a table, with […] for every interval."""
    pattern = r"\[[−+]?[\d.]+, [−+]?[\d.]+\]"
    return [tuple(re.sub(pattern, "[…]", cell) for cell in row) for row in rows]
