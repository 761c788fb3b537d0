"""A study directory on a disk: local, or a network disk that is mounted."""

import errno
import os
import re
import shutil
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from trainables.storage.retry import (
    StoreForbidden,
    StoreFull,
    StoreLost,
    StoreReadOnly,
    StoreUnreachable,
)

ABANDONED_SECONDS = 3600  # a temporary file this old belongs to nobody: no write takes an hour
RACES = 20  # lost against processes that delete a folder, before there must be another reason that it is not there

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")
_PASSING = {  # what network disks and FUSE mounts answer while they are away; the last means a race with a writer
    getattr(errno, name)
    for name in (
        *(
            "EIO",
            "ESTALE",
            "ETIMEDOUT",
            "EAGAIN",
            "EBUSY",
            "EINTR",
            "ENOLCK",
            "EREMOTEIO",
            "ENOTCONN",
            "ECONNRESET",
        ),
        *(
            "ECONNREFUSED",
            "ECONNABORTED",
            "EHOSTDOWN",
            "EHOSTUNREACH",
            "ENETDOWN",
            "ENETUNREACH",
            "ENOTEMPTY",
        ),
    )
    if hasattr(errno, name)
}
_KINDS: dict[int, type[StoreLost]] = {
    **dict.fromkeys(_PASSING, StoreUnreachable),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), StoreFull),
    **dict.fromkeys((errno.EACCES, errno.EPERM), StoreForbidden),
    errno.EROFS: StoreReadOnly,
}


def judge(error: OSError) -> type[StoreLost] | None:
    """What an error of the operating system means for the study directory; None: nothing."""
    return _KINDS.get(error.errno) if error.errno is not None else None


@dataclass(frozen=True)
class Disk:
    """The files below `root`. Errors are those of the operating system, unjudged."""

    root: Path

    def write(self, path: str, content: bytes) -> None:
        """Publish a file: a temporary one beside it, synced, then renamed.

        The folder is synced too (0.3 to 4 ms), so that the name survives a power cut and not only
        the content.
        """
        target = self.root / path
        temporary = target.with_name(f".{uuid4().hex}.tmp")
        _make_folder(target.parent)
        try:
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(target)
            _sync_folder(target.parent)
        except FileNotFoundError as error:  # another process deleted the folder
            raise OSError(
                errno.ESTALE, f"the folder of {path} was deleted while it was written"
            ) from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def read(self, path: str) -> bytes:
        """The content of a file; a file replaced meanwhile is read as it was when opened."""
        return (self.root / path).read_bytes()

    def exists(self, path: str) -> bool:
        """Whether a file is there."""
        try:
            return stat.S_ISREG((self.root / path).stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def files(self, folder: str) -> list[str]:
        """Paths of all files below a folder, relative to it; temporary ones of writers at work are
        left out."""
        top = str(self.root / folder)
        return [
            f"{where}/{name}".removeprefix(top).replace(os.sep, "/").lstrip("/")
            for where, _, names in os.walk(top, onerror=_raise_unless_gone)
            for name in names
            if not _TEMPORARY.fullmatch(name)
        ]

    def delete(self, path: str) -> None:
        """Remove a file or a folder, if it is there. A symbolic link to a folder stays, emptied."""
        target = self.root / path
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
            if os.path.lexists(
                target
            ):  # what is gone lay in it: another process deletes the same folder
                raise OSError(errno.ESTALE, f"{path} changes while it is deleted") from error

    def sweep(self) -> int:
        """Remove temporary files that killed writers left behind, where that can be done; returns
        how many."""
        count = 0
        for where, _, names in os.walk(self.root):
            for name in filter(_TEMPORARY.fullmatch, names):
                with suppress(OSError):
                    if time.time() - os.stat(f"{where}/{name}").st_mtime > ABANDONED_SECONDS:
                        os.unlink(f"{where}/{name}")
                        count += 1
        return count


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
    for _ in range(RACES):
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


def _sync_folder(folder: Path) -> None:
    with suppress(PermissionError):  # a folder that may be written but not read cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (
                errno.EINVAL,
                errno.ENOTSUP,
                errno.ENOSYS,
            ):  # some mounts sync no folders
                raise
        finally:
            os.close(descriptor)
