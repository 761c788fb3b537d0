"""Set up a process that trains: its threads, denormal numbers as zero, and its memory."""

import ctypes
import platform
from functools import cache

import torch

RETAINED = 2**30  # bytes of freed memory that a process retains for its next tensors
# Bytes up to which a tensor may lie in that memory; older glibc takes no more than the second.
HEAP = (RETAINED, 2**25)


def set_up_process(threads: int) -> None:
    """Prepare this process for trials of so many threads.

    Denormal numbers count as zero: momentum under a mask decays into them, and each then costs as
    much as 30 others.
    """
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    _retain_memory()


@cache
def _retain_memory() -> None:
    """Let glibc retain freed memory for the next tensor: 10 % of a ResNet-20's step on a CPU."""
    if platform.libc_ver()[0] == "glibc":
        trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
        libc = ctypes.CDLL(None)
        # Either call ends glibc's own choice of both: without the first, the second would do harm.
        if any(libc.mallopt(mmap_threshold, size) for size in HEAP):
            libc.mallopt(trim_threshold, RETAINED)
