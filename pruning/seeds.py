"""Every random draw of a trial, from its seed and a name: nothing random has to be stored to
continue a trial.

Order and augmentation of an epoch come from (seed, recipe, epoch), initial weights from the seed
alone, pruning from (seed, level). Dropout and other draws inside the network follow torch's global
generators, which each step seeds. Imports torch only where a generator is made.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for one purpose; different names give independent streams."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def make_generator(seed: int, *names: str | int) -> torch.Generator:
    """A CPU generator for one purpose."""
    import torch

    return torch.Generator().manual_seed(derive_seed(seed, *names))
