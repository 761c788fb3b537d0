"""Every random draw of a trial, from its seed and a name: nothing random has to be stored to
continue a trial.

Order and augmentation of an epoch come from (seed, recipe, epoch), initial weights from the seed
alone, pruning from (seed, level). Dropout and other draws inside the network follow torch's global
generators, which each step seeds.
"""

import hashlib

import torch


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed for one purpose; different names give independent streams."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> torch.Generator:
    """A CPU generator for one purpose."""
    return torch.Generator().manual_seed(derive(seed, *names))
