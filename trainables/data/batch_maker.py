"""Makes batches out of single images: in the process of the trial, or in a worker process."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainables.data.augmentation import fit, kept_random_state, make_transforms, seed_image
from trainables.data.batches import border
from trainables.data.loader_interface import Augment, Split


class SplitImages(Protocol):
    """The images of one split, of any sizes; picklable, for worker processes."""

    @property
    def channels(self) -> int:
        """1 or 3, the same for all images."""

    @property
    def labels(self) -> Tensor:
        """int64 [N]."""

    def __len__(self) -> int:
        """N."""

    def pixels(self, index: int) -> Tensor:
        """An image, uint8 [C, H, W], not to be written to."""


class ImageFailed(RuntimeError):
    """An image that cannot be decoded or augmented; the message names it."""


@dataclass(frozen=True, eq=False)
class Job:
    """One batch to be made. All in it is plain numbers, which cost little to send to a worker.

    indices: of the images, int64 [B]. places: int64 [B, 3], for each the corner (top, left) of the
    crop in the image with its border, and whether it is mirrored. augment, seed: transforms that
    draw for each image from (seed, index). With neither the images are as in evaluation.
    by_pipe: whether a worker sends the batch through its pipe, not in shared memory.
    """

    split: Split
    indices: np.ndarray
    places: np.ndarray | None = None
    augment: Augment | None = None
    seed: int = 0
    by_pipe: bool = False


@dataclass(frozen=True, eq=False)
class BatchMaker:
    """Makes the batches of a data set; picklable, for worker processes.

    images: by split, of any sizes. size: height and width of the images in a batch. enlarged:
    whether images of evaluation are the middle of slightly larger ones, see `fit`. mean: of the
    channels, in 0..1.
    """

    images: Mapping[Split, SplitImages]
    size: tuple[int, int]
    mean: tuple[float, ...]
    enlarged: bool = False

    def __getitem__(self, job: Job) -> Tensor | np.ndarray | str:
        """What a worker answers to a job: a batch as of `make`, or what is wrong in one line.

        An exception is not raised, because a worker would wrap its message in a traceback.
        """
        try:
            batch = self.make(job)
        except ImageFailed as error:
            return str(error)
        return batch.numpy() if job.by_pipe else batch

    def make(self, job: Job) -> Tensor:
        """The images of a batch, uint8 [B, H, W, C], or float32 in 0..1 where a function of the
        user makes them so. Global random states stay as they are.

        Raises:
            ImageFailed: one of the images cannot be decoded or augmented.
        """
        batch: Tensor | None = None
        with kept_random_state():
            for place, index in enumerate(job.indices.tolist()):
                try:
                    image = self._make_image(job, place, index)
                    if batch is None:
                        dtype = image.dtype if isinstance(image, Tensor) else torch.uint8
                        shape = (len(job.indices), *self.size, self.images[job.split].channels)
                        batch = torch.empty(shape, dtype=dtype)
                    _check(image, batch)
                except Exception as error:  # decoders and functions of the user raise anything
                    reason = " ".join(f"{type(error).__name__}: {error}".split())
                    raise ImageFailed(f"{job.split} image {index}: {reason}") from error
                batch[place] = image.permute(1, 2, 0)
        assert batch is not None, "a batch has at least one image"
        return batch

    def _make_image(self, job: Job, place: int, index: int) -> Tensor:
        """One image of a batch, [C, H, W]."""
        image = self.images[job.split].pixels(index)
        if job.augment is not None:
            seed_image(job.seed, index)
            for transform in make_transforms(job.augment, self.size, self.mean):
                image = transform(image)
            return image
        if job.places is not None:
            return _cut(fit(image, self.size, enlarged=False), *job.places[place].tolist())
        return fit(image, self.size, enlarged=self.enlarged)


def _cut(image: Tensor, top: int, left: int, flip: int) -> Tensor:
    """The crop of an image [C, H, W] at a corner within its border of zeros, mirrored or not."""
    height, width = image.shape[1:]
    padding = border(height, width)
    padded = functional.pad(image, (padding,) * 4)
    cut = padded[:, top : top + height, left : left + width]
    return cut.flip(2) if flip else cut


def _check(image: object, batch: Tensor) -> None:
    """Pass if an image, which a function of the user may have made, fits the others.

    Raises:
        ValueError: it does not.
    """
    if not isinstance(image, Tensor) or image.ndim != 3:
        raise ValueError(f"an augmentation must return a tensor [C, H, W], not {_describe(image)}")
    wanted, types = (batch.shape[3], *batch.shape[1:3]), (torch.uint8, torch.float32)
    if image.dtype not in types:
        raise ValueError(
            f"an augmentation must return uint8, or float32 in 0..1, not {image.dtype}"
        )
    if tuple(image.shape) != wanted or image.dtype != batch.dtype:
        raise ValueError(
            f"an augmentation must return {batch.dtype} {list(wanted)}, but returned "
            f"{_describe(image)}"
        )


def _describe(image: object) -> str:
    if isinstance(image, Tensor):
        return f"{image.dtype} {list(image.shape)}"
    return type(image).__name__
