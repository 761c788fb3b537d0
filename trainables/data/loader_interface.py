"""What a data loader must offer a trial: training batches, evaluation batches, and a draw.

`Loader` is the interface; trials, the timing of epochs and the searches use nothing else of their
images. To add a data loader, such as one that streams from a disk, write a class with the methods
of `Loader` and return it from `make_loader` in `loader.py`. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainables.data.batch_part import BatchPart

Augment: TypeAlias = str | tuple[str, ...]
"""One of the names in `augment_names.py`, or several in the order in which they are applied."""
MeanStd: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, of values in 0..1: images are normalised by them."""
Split = Literal["training", "validation", "test"]
Batch: TypeAlias = "tuple[Tensor, Tensor]"
"""Images, float32 [B, C, H, W], normalised, in channels_last memory; and labels, int64 [B]."""

# Images: what fits the caches of a CPU, and what keeps a GPU of 16 GB busy with any network here.
EVALUATION_BATCH = {"cpu": 250, "cuda": 1000}
LARGE = 64 * 64  # pixels from which on batches have a quarter as many images


def evaluation_batch(device: str, image: tuple[int, int, int]) -> int:
    """Images (C, H, W) in a batch of evaluation on a device, "cpu" or "cuda"."""
    most = EVALUATION_BATCH[device]
    return most if image[1] * image[2] <= LARGE else most // 4


class TestSetWithheld(RuntimeError):
    """A trial that may not read the test set tried to."""

    __test__ = False  # pytest takes classes of such names for tests

    def __init__(self) -> None:
        super().__init__("the test set must not be read in a search, but this trial asked for it")


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

    @property
    def placement(self) -> str:
        """Where the images live, and why, in one line."""

    def of_part(self, part: BatchPart) -> Self:
        """The same images, of which batches of training and evaluation are a part; draws are
        whole."""

    def count(self, split: Split) -> int:
        """How many images a split has."""

    def batches_per_epoch(self, batch: int) -> int:
        """Batches of one epoch with that batch size."""

    def training_batches(
        self,
        *,
        batch: int,
        augment: Augment,
        generator: torch.Generator,
        skip: int = 0,
        before: bool = False,
    ) -> Iterator[Batch]:
        """One epoch of the training images in random order, augmented.

        Args:
            batch: images per batch; the last one may be short.
            augment: one of `augment_names.py`, or a list of them.
            generator: it alone decides the order, and with it and its index an image is augmented.
            skip: batches at the beginning to leave out, where an epoch continues after a pause.
            before: put in front of each batch one image more, see `BatchPart.places`.
        """

    def evaluation_batches(self, split: Split) -> Iterator[Batch]:
        """All images of a split in order, not augmented; no batch where the split is empty."""

    def draw(self, count: int, *, batch: int, generator: torch.Generator) -> Iterator[Batch]:
        """`count` training images (all, if there are fewer) drawn without replacement, not
        augmented."""
