"""Atomic write: a file on a disk appears under its name only when it is whole.

It is written under a temporary name beside its place, synced, then renamed. The folder is synced
too (0.3 to 4 ms), so that the name survives a power cut and not only the content.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")
# What some mounts answer that sync no folders.
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def write_atomically(target: Path) -> Iterator[BinaryIO]:
    """A stream whose content becomes the file `target` when the block ends without an error.

    Raises:
        OSError: the file cannot be written; an older one is then still there.
    """
    temporary = target.with_name(f".{uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
        _sync_folder(target.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def is_temporary(name: str) -> bool:
    """Whether a file name is one that `write_atomically` gives until a file is whole."""
    return _TEMPORARY.fullmatch(name) is not None


def _sync_folder(folder: Path) -> None:
    with suppress(PermissionError):  # a folder that may be written but not read cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _CANNOT_SYNC:
                raise
        finally:
            os.close(descriptor)
