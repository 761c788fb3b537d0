"""What a data loader must offer a trial: training batches, evaluation batches, and a draw.

`Loader` is the interface; trials, the timing of epochs and the searches use nothing else of their
images. To add a data loader, such as one that streams from a disk, write a class with the methods
of `Loader` and return it from `make_loader` in `loader.py`. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Augment = Literal["none", "crop", "crop_flip"]
Split = Literal["training", "validation", "test"]
Batch: TypeAlias = "tuple[Tensor, Tensor]"
"""Images, float32 [B, C, H, W], normalised, in channels_last memory; and labels, int64 [B]."""


@dataclass(frozen=True, eq=False, kw_only=True)
class DataSetInfo:
    """What is known of a data set without its images.

    `image` is (C, H, W). `mean` and `std` are per channel of the training split, in 0..1. `digest`
    is the first 16 hex digits of the SHA-256 of its content.
    """

    name: str
    classes: int
    image: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    digest: str


class Loader(Protocol):
    """The images of one data set on the device of a trial. All that is random in it comes from the
    generators that are handed in, so that a trial continues with the same images."""

    @property
    def data(self) -> DataSetInfo:
        """What is known of the data set."""

    def count(self, split: Split) -> int:
        """How many images a split has."""

    def batches_per_epoch(self, batch: int) -> int:
        """Optimiser steps of one epoch with that batch size."""

    def training_batches(
        self, *, batch: int, augment: Augment, generator: torch.Generator, skip: int = 0
    ) -> Iterator[Batch]:
        """One epoch of the training images in random order, augmented.

        Args:
            batch: images per batch; the last one may be short.
            augment: none, random crop, or crop and horizontal flip.
            generator: it alone decides order, crops and flips.
            skip: batches at the beginning to leave out, where an epoch continues after a pause.
        """

    def evaluation_batches(self, split: Split) -> Iterator[Batch]:
        """All images of a split in order, not augmented; no batch where the split is empty."""

    def draw(self, count: int, *, batch: int, generator: torch.Generator) -> Iterator[Batch]:
        """`count` training images (all, if there are fewer) drawn without replacement, not
        augmented."""
