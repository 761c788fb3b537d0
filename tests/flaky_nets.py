"""A user's own network that fails for one seed while a flag file exists: what a trial's own fault
looks like."""

import os
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
