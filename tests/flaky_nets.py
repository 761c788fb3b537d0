"""A user's own networks: one that fails for one seed while a flag file exists, as a trial's own
fault does, and one that takes its worker down, as a library's fault does."""

import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from pruning.seeds import derive_seed


def net(image: tuple[int, int, int], classes: int) -> nn.Module:
    """Two linear layers on flattened pixels."""
    if Path(os.environ["FAIL_SEED_1"]).exists() and torch.initial_seed() == derive_seed(1, "init"):
        raise RuntimeError("this seed cannot be built")
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(image[0] * image[1] * image[2], 16),
        nn.ReLU(),
        nn.Linear(16, classes),
    )


class Crashing(nn.Linear):
    """A layer that crashes in Ray's workers."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if "default_worker" in sys.argv[0]:
            signal.raise_signal(signal.SIGSEGV)
        return super().forward(x)


def crashing(image: tuple[int, int, int], classes: int) -> nn.Module:
    """One linear layer on flattened pixels."""
    return nn.Sequential(nn.Flatten(), Crashing(image[0] * image[1] * image[2], classes))
