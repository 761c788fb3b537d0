"""A study directory on a local disk, or on a network disk that is mounted."""

import errno
import os
import shutil
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trainables.storage.atomic_write import is_temporary, write_atomically
from trainables.storage.file_system import find_file_system
from trainables.storage.retry import (
    StoreForbidden,
    StoreFull,
    StoreLost,
    StoreReadOnly,
    StoreUnreachable,
)

ABANDONED_SECONDS = 3600  # a temporary file this old belongs to nobody: no write takes an hour
# Attempts to make a folder that other processes delete at the same time; after these there must be
# another reason that it is not there.
FOLDER_ATTEMPTS = 20

# Types of file systems that put what is deleted into a bin, where it counts against the quota for
# weeks: Google Drive as Colab mounts it. A trial deletes a checkpoint a minute, so there files are
# emptied first.
WITH_BIN = ("fuse.drive",)

# What network disks and FUSE mounts answer while they are away.
_AWAY = (
    *("EIO", "ESTALE", "ETIMEDOUT", "EAGAIN", "EBUSY", "EINTR", "ENOLCK", "EREMOTEIO"),
    *("ENOTCONN", "ECONNRESET", "ECONNREFUSED", "ECONNABORTED"),
    *("EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH"),
)
_WRITER_WAS_FASTER = "ENOTEMPTY"  # a folder that was being deleted
_PASSING = {getattr(errno, name) for name in (*_AWAY, _WRITER_WAS_FASTER) if hasattr(errno, name)}
_KINDS: dict[int, type[StoreLost]] = {
    **dict.fromkeys(_PASSING, StoreUnreachable),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), StoreFull),
    **dict.fromkeys((errno.EACCES, errno.EPERM), StoreForbidden),
    errno.EROFS: StoreReadOnly,
}


def classify_os_error(error: OSError) -> type[StoreLost] | None:
    """What an error of the operating system means for the study directory; None: nothing."""
    return _KINDS.get(error.errno) if error.errno is not None else None


@dataclass(frozen=True)
class Disk:
    """The files below `root`. Errors are those of the operating system, as they come."""

    root: Path

    def write(self, path: str, content: bytes) -> None:
        """Publish a file by an atomic write."""
        target = self.root / path
        _make_folder(target.parent)
        try:
            with write_atomically(target) as stream:
                stream.write(content)
        except FileNotFoundError as error:  # another process deleted the folder
            raise OSError(
                errno.ESTALE, f"the folder of {path} was deleted while it was written"
            ) from error

    def read(self, path: str) -> bytes:
        """The content of a file; a file replaced meanwhile is read as it was when opened."""
        return (self.root / path).read_bytes()

    def exists(self, path: str) -> bool:
        """Whether a file is there."""
        try:
            return stat.S_ISREG((self.root / path).stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def list(self, folder: str) -> list[str]:
        """Paths of all files below a folder, relative to it; temporary ones of writers at work are
        left out."""
        top = str(self.root / folder)
        return [
            f"{where}/{name}".removeprefix(top).replace(os.sep, "/").lstrip("/")
            for where, _, names in os.walk(top, onerror=_raise_unless_gone)
            for name in names
            if not is_temporary(name)
        ]

    def delete(self, path: str) -> None:
        """Remove a file or a folder, if it is there. A symbolic link to a folder stays, emptied."""
        target = self.root / path
        if find_file_system(str(self.root)) in WITH_BIN:
            _empty_files(target)
        if target.is_symlink() and target.is_dir():
            for child in list(target.iterdir()):
                self.delete(f"{path}/{child.name}")
            return
        try:
            if target.is_symlink():
                target.unlink()
            else:
                shutil.rmtree(target)
        except NotADirectoryError:
            with suppress(FileNotFoundError, NotADirectoryError):
                target.unlink()
        except FileNotFoundError as error:
            # What is gone lay in the folder: another process deletes the same folder.
            if os.path.lexists(target):
                raise OSError(errno.ESTALE, f"{path} changes while it is deleted") from error

    def delete_abandoned_files(self) -> int:
        """Remove temporary files that killed writers left behind, where that can be done; returns
        how many."""
        count = 0
        for where, _, names in os.walk(self.root):
            for name in filter(is_temporary, names):
                with suppress(OSError):
                    if time.time() - os.stat(f"{where}/{name}").st_mtime > ABANDONED_SECONDS:
                        os.unlink(f"{where}/{name}")
                        count += 1
        return count


def _empty_files(target: Path) -> None:
    """Cut a file, or all files below a folder, to no bytes, where that can be done."""
    files = [target] if target.is_file() else target.rglob("*")
    for file in files:
        with suppress(OSError):
            if file.is_file() and not file.is_symlink():
                os.truncate(file, 0)


def _raise_unless_gone(error: OSError) -> None:
    """A folder that cannot be listed must not pass for an empty one: its rows would count as
    missing."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, also while another process deletes it.

    Raises:
        FileExistsError: a file is in its place.
        PermissionError: it cannot be made, e.g. below /proc.
    """
    for _ in range(FOLDER_ATTEMPTS):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return
        except FileNotFoundError:
            continue
        except FileExistsError:
            with suppress(FileNotFoundError):
                if not stat.S_ISDIR(folder.stat().st_mode):
                    raise
    raise PermissionError(errno.EACCES, "its folder cannot be made")
