"""The process group of `torch.distributed` in which the ranks of a trial exchange tensors; all of
them are on one machine."""

import os
import socket
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed

from trainables.environment import Environment

# A rank that waits for another so long gives up. Long, since the first one may wait for the study
# directory; a rank that has died is noticed at once.
LONGEST_WAIT = timedelta(minutes=30)


def join_group(environment: Environment, rank: int, meeting: str) -> None:
    """Join torch's process group: NCCL between GPUs, gloo between CPUs.

    Args:
        meeting: a folder of this machine, empty when the first rank joins, where ranks find each
            other.
    """
    # All on one machine: nothing listens on another interface.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", find_loopback())
    os.environ.setdefault("NCCL_SOCKET_IFNAME", find_loopback())
    gpu = torch.device("cuda", rank) if environment.device == "cuda" else None
    distributed.init_process_group(
        "nccl" if gpu else "gloo",
        init_method=Path(meeting, "group").as_uri(),
        rank=rank,
        world_size=environment.ranks,
        timeout=LONGEST_WAIT,
        device_id=gpu,
    )


def leave_group(*, failed: bool) -> None:
    """Leave the process group, if there is one.

    Args:
        failed: whether messages may be under way that never come; those of GPUs are then broken
            off.
    """
    if not distributed.is_initialized():
        return
    if failed and distributed.get_backend() == "nccl":
        distributed.distributed_c10d._abort_process_group()
    else:
        distributed.destroy_process_group()


def find_loopback() -> str:
    """The name of the interface of this machine with itself: "lo", on macOS "lo0"."""
    names = [name for _, name in socket.if_nameindex()]
    return next((name for name in names if name.startswith("lo")), names[0])
