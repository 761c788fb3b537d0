"""A data set in memory: its images split into training, validation and test, and what is known of
them. Imports torch only where tensors are made."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from trainables.data.catalog import DATASETS
from trainables.data.data_size import check_training_images, count_held_out
from trainables.data.loader_interface import DataSetInfo, Split
from trainables.data.readers import Images, choose_fixed

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

    def plain_values(self) -> dict[str, object]:
        """All fields by name, to be stored."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def is_intact(self) -> bool:
        """Whether all tensors have their types, and the content has its digest."""
        types = {"x": "torch.uint8", "y": "torch.int64"}
        typed = all(str(tensor.dtype) == types[name[-1]] for name, tensor in self.tensors().items())
        return typed and content_digest(self) == self.digest


def split_data(name: str, train: Images, test: Images) -> DataSet:
    """The data set with a tenth of the training images, at least one, held out for validation.

    Raises:
        UserError: there are too few training images.
    """
    import torch

    check_training_images(name, len(train.x))
    held_out = choose_fixed(len(train.x), count_held_out(len(train.x)))
    train_x = torch.from_numpy(train.x[~held_out])
    mean, std = channel_statistics(train_x)
    _, height, width, channels = train.x.shape
    data = DataSet(
        name=name,
        classes=DATASETS.get(name, 1 + int(max(train.y.max(), test.y.max()))),
        image=(channels, height, width),
        mean=mean,
        std=std,
        train_x=train_x,
        train_y=torch.from_numpy(train.y[~held_out]),
        val_x=torch.from_numpy(train.x[held_out]),
        val_y=torch.from_numpy(train.y[held_out]),
        test_x=torch.from_numpy(test.x),
        test_y=torch.from_numpy(test.y),
        digest="",
    )
    return replace(data, digest=content_digest(data))


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


def content_digest(data: DataSet) -> str:
    """The first 16 hex digits of the SHA-256 of a data set: its facts, images and labels."""
    state = hashlib.sha256(
        repr((data.name, data.classes, data.image, data.mean, data.std)).encode()
    )
    for name, tensor in data.tensors().items():
        state.update(f"{name} {tuple(tensor.shape)}".encode())
        state.update(tensor.numpy().data)
    return state.hexdigest()[:16]
