"""Set up a process that trains: its threads, denormal numbers as zero, its memory, and how exactly
a GPU computes."""

import ctypes
import gc
import os
import platform
from functools import cache

import torch

from trainables.node_faults import is_taken_by_others

RETAINED = 2**30  # bytes of freed memory that a process retains for its next tensors
# Bytes up to which a tensor may lie in that memory; older glibc takes no more than the second.
HEAP = (RETAINED, 2**25)

# Bytes that a process takes of a GPU beside its tensors: the context, and kernels.
GPU_CONTEXT = 600 * 2**20


def set_up_process(threads: int) -> None:
    """Prepare this process for trials of so many threads.

    Denormal numbers count as zero: momentum under a mask decays into them, and each then costs as
    much as 30 others.
    """
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    _retain_memory()


def set_up_gpu(*, sharing: int, deterministic: bool) -> None:
    """Prepare this process for trials on a GPU.

    fp32 means fp32: no TF32, in which convolutions run by default from Ampere on. A process takes
    no more memory than its share, so that a trial that wants too much fails itself and not its
    neighbours.

    Args:
        sharing: processes that share the GPU.
        deterministic: use kernels that give the same bits again, and choose them by rule, not by a
            clock. Where there is no such kernel torch warns and takes another.
    """
    # cuBLAS reads it when it begins; without it, its sums may come in any order.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    # Else torch fills all memory that it gets, which costs a kernel each time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.cuda.set_per_process_memory_fraction(gpu_share(sharing))


def gpu_share(sharing: int) -> float:
    """The fraction of a GPU's memory, 0..1, that the tensors of one of so many processes may
    take."""
    if sharing == 1:
        return 1.0
    total = torch.cuda.get_device_properties().total_memory
    return max(0.01, 1 / sharing - GPU_CONTEXT / total)


def is_crowded(error: Exception, sharing: int) -> bool:
    """Whether the memory that was missing belongs to this process's share of the GPU, so that
    others have it. `sharing`: processes that share the GPU."""
    allowed = int(gpu_share(sharing) * torch.cuda.get_device_properties().total_memory)
    return is_taken_by_others(str(error), held=torch.cuda.memory_reserved(), allowed=allowed)


def free_gpu_memory() -> None:
    """Give back the memory of the GPU that no tensor needs any more."""
    gc.collect()
    torch.cuda.empty_cache()


@cache
def _retain_memory() -> None:
    """Let glibc retain freed memory for the next tensor: 10 % of a ResNet-20's step on a CPU."""
    if platform.libc_ver()[0] == "glibc":
        trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
        libc = ctypes.CDLL(None)
        # Either call ends glibc's own choice of both: without the first, the second would do harm.
        if any(libc.mallopt(mmap_threshold, size) for size in HEAP):
            libc.mallopt(trim_threshold, RETAINED)
