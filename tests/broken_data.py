"""Data sets that cannot be read."""

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.raising import raising

Patch = pytest.MonkeyPatch


def picture(side: int = 4, mode: str = "RGB") -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.new(mode, (side, side)).save(stream, "png")
    return stream.getvalue()


def write_data(
    columns: dict[str, list[Any]], *, rows: int | None = None, test: bool = True, cut: bool = False
) -> Callable[[Path, Patch], None]:
    """A data set in data/mine, the same for both splits."""

    def write(here: Path, patch: Patch) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder = here / "data" / "mine"
        folder.mkdir(parents=True)
        for split in ("train", "test") if test else ("train",):
            path = folder / f"{split}.parquet"
            pq.write_table(pa.table(columns).slice(0, rows), path)
            if cut:
                path.write_bytes(path.read_bytes()[:-50])

    return write


def images(*sides: int, mode: str = "RGB", content: bytes = b"") -> list[dict[str, bytes]]:
    return [{"bytes": content or picture(side, mode)} for side in sides]


def full_cache(here: Path, patch: Patch) -> None:
    patch.setenv("PRUNING_DATA_CACHE", str(here / "cache"))
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    patch.setattr("trainables.data.appended_files.AppendedFiles.append", raising(full))
