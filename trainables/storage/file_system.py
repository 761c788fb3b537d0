"""Which type of file system holds a path of this machine."""

from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=32)
def find_file_system(path: str) -> str:
    """The type of the file system that holds a local path; "" where the system does not say."""
    try:
        mounts = Path("/proc/self/mounts").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    for mount in mounts:
        _, place, this_kind, *_ = mount.split(" ")
        place = place.encode().decode("unicode_escape")  # a space stands there as \040
        holds = path == place or path.startswith(f"{place.rstrip('/')}/")
        if holds and len(place) >= len(best):
            best, kind = place, this_kind
    return kind
