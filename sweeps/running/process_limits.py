"""Limits that the system sets to this command (`ulimit`, containers), where they are known to be
too low for Ray: beyond them its processes hang, or end with traces of their own."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from pruning.user_error import UserError

# Measured on a machine of two cores, where Ray starts the fewest: its six processes and the command
# have 171 threads, a worker 27; the command has 6.3 GB of addresses beside Ray's shared memory.
THREADS = 200
ADDRESS_SPACE = 7 * 10**9  # bytes
SHARED_MEMORY = 2**28  # bytes, that Ray shall share where addresses are limited; a study needs few

CONTAINER = Path("/sys/fs/cgroup")  # where a container sees its own limits


def check_limits() -> dict[str, Any]:
    """Pass if Ray can start threads and processes here, as far as that is known. Returns further
    arguments of `ray.init`.

    Raises:
        UserError: the limits of this command are too low.
    """
    free, name = find_free_threads()
    if free is not None and free < THREADS:
        raise UserError(
            f"Ray needs about {THREADS} threads and processes, and more with each trial at once, "
            f"but {name} leaves {free}: raise it, or end what else runs here"
        )
    check_address_space()
    return {} if find_address_limit() is None else {"object_store_memory": SHARED_MEMORY}


def check_address_space() -> None:
    """Pass if a process can have as many addresses as Ray and torch take.

    Raises:
        UserError: it cannot.
    """
    limit = find_address_limit()
    if limit is not None and limit < ADDRESS_SPACE:
        raise UserError(
            f"Ray needs about {ADDRESS_SPACE / 1e9:.0f} GB of address space in each process, but "
            f"ulimit -v allows {limit / 1e9:.1f} GB: raise it (ulimit -v unlimited)"
        )


def find_free_threads() -> tuple[int | None, str]:
    """How many more threads the system lets this user or container have, and the limit that says
    so; None where none is known."""
    found = [(_free_in_container(), "the limit of this container (pids.max)")]
    if sys.platform == "linux" and os.getuid():  # root has none
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_NPROC)
        if most != resource.RLIM_INFINITY:
            found.append((max(0, most - _count_threads(os.getuid())), "ulimit -u"))
    known = [(free, name) for free, name in found if free is not None]
    return min(known, default=(None, ""))


def _free_in_container() -> int | None:
    for folder in (CONTAINER, CONTAINER / "pids"):
        with suppress(OSError, ValueError):  # absent, or "max"
            most, now = ((folder / f"pids.{name}").read_text() for name in ("max", "current"))
            return max(0, int(most) - int(now))
    return None


def _count_threads(user: int) -> int:
    """Threads of all processes of a user."""
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is not to be seen
            if folder.stat().st_uid == user:
                count += len(os.listdir(folder / "task"))
    return count


def find_address_limit() -> int | None:
    """Bytes of address space that a process of this command may have; None: any number."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit
