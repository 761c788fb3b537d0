"""Work whose random numbers leave those of the user's script as they were."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded_apart(device: torch.device, seed: int) -> Iterator[None]:
    """Torch's global generators, of the CPU and of a CUDA device, begin at a seed; afterwards they
    are where they were before."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
