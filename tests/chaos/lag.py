"""Listings of folders that lag behind, as those of network disks may: while the file `$CHAOS_LAG`
is there, a listing shows files only so many seconds after they were written as the file says. By
their names they are there at once."""

import os
import time
from contextlib import suppress
from pathlib import Path

from trainables.storage.local_disk import Disk


def install() -> None:
    """Have this process see such listings, where a campaign asks for it."""
    switch = os.environ.get("CHAOS_LAG")
    if not switch or getattr(Disk.list, "lags", False):
        return
    list_at_once = Disk.list

    def list_late(disk: Disk, folder: str) -> list[str]:
        paths = list_at_once(disk, folder)
        try:
            seconds = float(Path(switch).read_text() or 0)
        except OSError:
            return paths
        seen = []
        for path in paths:
            with suppress(FileNotFoundError):
                if time.time() - (disk.root / folder / path).stat().st_mtime >= seconds:
                    seen.append(path)
        return seen

    list_late.lags = True  # type: ignore[attr-defined]
    Disk.list = list_late  # type: ignore[method-assign]
