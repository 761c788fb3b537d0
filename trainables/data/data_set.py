"""A data set in memory: its images split into training, validation and test, and what is known of
them. Imports torch only where tensors are made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pruning.user_error import UserError
from trainables.data.image_source import SPLITS, sizes_differ
from trainables.data.loader_interface import DataSetInfo, Split
from trainables.data.prepared_data import PreparedData
from trainables.data.stored_images import map_pixels

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Images whose squares, 255 * 255 at most, add up exactly in float32: 2**24 / 255**2 = 258.
CHUNK = 256


@dataclass(frozen=True, eq=False, kw_only=True)
class DataSet(DataSetInfo):
    """A data set in memory. Images are contiguous uint8 [N, H, W, C], labels int64 [N]."""

    train_x: Tensor
    train_y: Tensor
    val_x: Tensor
    val_y: Tensor
    test_x: Tensor
    test_y: Tensor

    def images(self, split: Split) -> tuple[Tensor, Tensor]:
        """Images and labels of a split."""
        return {
            "training": (self.train_x, self.train_y),
            "validation": (self.val_x, self.val_y),
            "test": (self.test_x, self.test_y),
        }[split]

    def to(self, device: torch.device | str) -> DataSet:
        """The same data on a device."""
        tensors = {name: tensor.to(device) for name, tensor in self.tensors().items()}
        return replace(self, **tensors)  # type: ignore[arg-type]

    def joined(self) -> DataSet:
        """The data with the validation images in the training split, for studies that hold none
        out.

        Mean and std are those of the larger training split; the digest stays that of the prepared
        data.
        """
        import torch

        train_x = torch.cat([self.train_x, self.val_x])
        mean, std = channel_statistics(train_x)
        return replace(
            self,
            mean=mean,
            std=std,
            train_x=train_x,
            train_y=torch.cat([self.train_y, self.val_y]),
            val_x=self.val_x[:0],
            val_y=self.val_y[:0],
        )

    def tensors(self) -> dict[str, Tensor]:
        """Images and labels of all splits, by field."""
        names = ("train_x", "train_y", "val_x", "val_y", "test_x", "test_y")
        return {name: getattr(self, name) for name in names}


def map_data_set(prepared: PreparedData) -> DataSet:
    """A prepared data set as tensors mapped from its files.

    Raises:
        UserError: the images differ in size.
    """
    import torch

    if prepared.image is None:
        raise UserError(sizes_differ(prepared.name, prepared.smallest, prepared.largest))
    channels, height, width = prepared.image
    pixels = map_pixels(prepared.folder).view(-1, height, width, channels)
    labels = torch.cat([prepared.images(split, encoded=False).labels for split in SPLITS])
    train_x, val_x, test_x = pixels.split(prepared.counts)
    train_y, val_y, test_y = labels.split(prepared.counts)
    return DataSet(
        name=prepared.name,
        classes=prepared.classes,
        image=prepared.image,
        mean=prepared.mean,
        std=prepared.std,
        train_x=train_x,
        train_y=train_y,
        val_x=val_x,
        val_y=val_y,
        test_x=test_x,
        test_y=test_y,
        digest=prepared.digest,
    )


def channel_statistics(x: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std per channel of uint8 [N, H, W, C], in 0..1; the std of a constant channel is
    given as 1."""
    import torch

    total = torch.zeros(x[0].numel(), dtype=torch.float64)
    squares = torch.zeros_like(total)
    for part in x.cpu().split(CHUNK):
        pixels = part.reshape(len(part), -1).float()
        total += pixels.sum(0)
        squares += pixels.square_().sum(0)
    total, squares = (sums.view(-1, x.shape[-1]).sum(0) for sums in (total, squares))
    count = x.numel() // x.shape[-1]
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(0).sqrt()
    std[std == 0] = 255
    return tuple((mean / 255).tolist()), tuple((std / 255).tolist())
