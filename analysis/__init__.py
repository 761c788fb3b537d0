"""Parquet in, paper out. Imports neither torch nor Ray.

`analysis.load` reads the rows of a study as a data frame.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.tidy_rows import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """Import on demand: the command's help needs no pandas."""
    if name != "load":
        raise AttributeError(f"module 'analysis' has no attribute '{name}'")
    from analysis.tidy_rows import load

    return load
