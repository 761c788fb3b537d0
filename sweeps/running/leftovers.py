"""What killed commands leave on this machine: the folder that Tune writes into, and that of the Ray
which was started for the command.

Each holds a file that names the command's process, in the words of a lease. Those of processes
that are gone are deleted by the next command; Ray's own log files of commands that ended by
themselves stay, to be read.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sweeps.running.lease import Lease, is_gone

OWNER = "pruning-study.json"  # the file that names the process


@contextmanager
def scratch_folder() -> Iterator[str]:
    """A temporary folder of this command; those of killed commands are deleted first."""
    place = Path(tempfile.gettempdir())
    delete_abandoned(place.glob("pruning-study-*"))
    folder = tempfile.mkdtemp(prefix="pruning-study-", dir=place)
    mark(Path(folder))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def marked_session(folder: str | None) -> Iterator[None]:
    """The folder of the Ray that this command has started carries its mark while this lasts; those
    of killed commands beside it are deleted first."""
    if not folder:
        yield
        return
    session = Path(folder)
    delete_abandoned(session.parent.glob("session_*"))
    mark(session)
    try:
        yield
    finally:
        with suppress(OSError):
            (session / OWNER).unlink(missing_ok=True)


def mark(folder: Path) -> None:
    """Write who uses a folder, where that can be done."""
    with suppress(OSError):
        (folder / OWNER).write_bytes(Lease.mine().encode())


def delete_abandoned(folders: Iterator[Path]) -> None:
    """Delete those of the folders whose command is known to be gone."""
    for folder in folders:
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            owner = Lease.parse((folder / OWNER).read_bytes())
            if owner and is_gone(owner):
                shutil.rmtree(folder, ignore_errors=True)
