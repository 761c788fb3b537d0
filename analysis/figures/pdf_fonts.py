"""The fonts inside a PDF: cut down to the letters of the figure, and without what only a typesetter
needs."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

# Tables of glyph classes, positions, substitutions and pairs of letters.
LAYOUT = ("GDEF", "GPOS", "GSUB", "kern")


@contextmanager
def small_fonts() -> Iterator[None]:
    """Within it, matplotlib embeds fonts without the tables that text is laid out with.

    A PDF names its glyphs and their places, so no reader looks at these tables (ISO 32000-2, 9.9),
    and to cut them down takes longer than all else about a font.
    """
    from fontTools import subset  # late: only a PDF needs it

    load = subset.load_font

    def load_small(path: str, options: subset.Options) -> Any:
        return load(io.BytesIO(_strip(str(path), options.font_number)), options)

    subset.load_font = load_small
    try:
        yield
    finally:
        subset.load_font = load


@cache
def _strip(path: str, number: int) -> bytes:
    """A font file without its layout tables; `number` chooses one of a collection, -1 where it is
    none."""
    from fontTools.ttLib import TTFont

    # With the time of writing in it, the PDFs of equal studies would differ.
    with TTFont(path, fontNumber=number, lazy=True, recalcTimestamp=False) as font:
        for table in LAYOUT:
            if table in font:
                del font[table]
        stripped = io.BytesIO()
        font.save(stripped, reorderTables=None)
    return stripped.getvalue()
