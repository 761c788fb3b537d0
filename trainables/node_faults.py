"""Faults of a node, as opposed to those of a trial: no usable GPU, a full or broken disk, memory
that others take. A trial is not to blame for them, and goes on elsewhere.

Importing this does not import torch.
"""

import errno
import re

# What torch and CUDA say where a process cannot use the GPU of its machine, or where that is
# broken. Faults of a program, such as an illegal access, are not among them.
_GPU_FAULTS = re.compile(
    r"no NVIDIA driver|NVIDIA driver on your system is too old|NVIDIA driver.* too old"
    r"|No CUDA GPUs are available|Torch not compiled with CUDA enabled"
    r"|CUDA (driver )?initialization|[Cc]annot initialize CUDA|forward compatibility was attempted"
    r"|no CUDA-capable device|CUDA-capable device\(s\) is/are busy or unavailable"
    r"|invalid device ordinal|system (is )?not yet initialized|system has unsupported display"
    r"|[Uu]ncorrectable (ECC|NVLink)|GPU (is|has been) lost|fallen off the bus"
    r"|[Dd]river/library version mismatch|insufficient driver|CUDA error: unknown error"
    r"|hardware stack error|no kernel image is available",
)
_DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENODEV}
_SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


class NodeUnfit(Exception):
    """This node cannot run the trial, whatever it does; another may."""


class NodeCrowded(Exception):
    """Other processes take the memory of this node's GPU that the trial's share should have."""


def find_node_fault(exception: BaseException) -> str | None:
    """In one line the fault of the node that an exception reports; None where it may be the
    trial's own. What caused an exception is looked at, too."""
    seen: BaseException | None = exception
    while seen is not None:
        text = " ".join(str(seen).split())
        if isinstance(seen, NodeUnfit):
            return text
        if isinstance(seen, OSError) and seen.errno in _DISK_FAULTS:
            return f"its disk fails: {text}"[:300]
        if isinstance(seen, RuntimeError | AssertionError) and _GPU_FAULTS.search(text):
            return f"its GPU cannot be used: {text}"[:300]
        seen = seen.__cause__
    return None


def is_taken_by_others(error: str, *, held: int, allowed: int) -> bool:
    """Whether memory is missing on a GPU because other processes take more than their share.

    Args:
        error: CUDA's message. held: bytes that this process holds. allowed: bytes of its share.
    """
    wanted = re.search(r"Tried to allocate ([\d.]+) (B|KiB|MiB|GiB|TiB)", error)
    if not wanted:
        return False
    return held + float(wanted[1]) * _SIZES[wanted[2]] <= allowed
