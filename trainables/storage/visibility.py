"""How long a file that was written may stay unseen elsewhere, and waiting for it.

A network disk (NFS, SMB, FUSE) may list a folder as it was some seconds ago, while the file itself
can already be read by its name. So what is known to be written is read by name, and where only a
listing can tell, it is asked again for `lag_seconds` before the file counts as missing. Local disks
and buckets show at once what was written.
"""

import os
import time
from collections.abc import Callable
from typing import TypeVar

from trainables.storage.bucket_uri import is_remote
from trainables.storage.file_system import find_file_system

# NFS keeps attributes and listings of folders for 60 s at most (acdirmax, nfs(5)).
# PRUNING_STORE_LAG overrides it.
LAG_SECONDS = 60.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between two looks; doubled each time

# The types of file systems, as /proc/self/mounts has them, that lie on this machine alone.
_LOCAL = frozenset(
    (
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "reiserfs"),
        *("tmpfs", "ramfs", "rootfs", "overlay", "overlayfs", "aufs", "squashfs"),
        *("vfat", "exfat", "ntfs", "ntfs3", "hfsplus", "apfs", "ufs"),
    )
)

_Found = TypeVar("_Found")


def lag_seconds(uri: str) -> float:
    """Seconds for which a listing of a study directory may lack a file that was written."""
    if override := os.environ.get("PRUNING_STORE_LAG"):
        return float(override)
    if is_remote(uri):
        return 0.0  # S3 and GCS are consistent: a listing holds what was written before it
    return 0.0 if find_file_system(uri) in _LOCAL else LAG_SECONDS


def wait_until_seen(find: Callable[[], _Found | None], seconds: float) -> _Found | None:
    """What `find` returns as soon as it is not None, asked again with growing pauses for so many
    seconds; None where it never is."""
    pause, until = FIRST_PAUSE, time.monotonic() + seconds
    while (found := find()) is None:
        left = until - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_PAUSE)
    return found
