"""A split of images that lies in memory and can be pickled, for the tests of the loaders."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from trainables.data.batch_maker import BatchMaker
from trainables.data.loader_interface import DataSetInfo

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@dataclass(eq=False)
class ImagesInMemory:
    """See `SplitImages`. Image `broken` cannot be decoded; `decoded` counts the readings in this
    process."""

    images: list[np.ndarray]  # uint8 [h, w, C]
    broken: int | None = None
    decoded: list[int] = field(default_factory=list)

    @property
    def channels(self) -> int:
        return self.images[0].shape[2]

    @property
    def labels(self) -> Tensor:
        return torch.arange(len(self.images)) % 7

    def __len__(self) -> int:
        return len(self.images)

    def pixels(self, index: int) -> Tensor:
        if index == self.broken:
            raise OSError("the file ends too early")
        self.decoded.append(index)
        return torch.from_numpy(self.images[index]).permute(2, 0, 1)


def hold_images(images: list[Tensor], broken: int | None = None) -> ImagesInMemory:
    """A split of images uint8 [C, h, w]."""
    return ImagesInMemory([image.permute(1, 2, 0).numpy() for image in images], broken)


def draw_images(
    count: int, size: Callable[[int], tuple[int, int]] | tuple[int, int], *, channels: int = 3
) -> list[Tensor]:
    """Images of random pixels, uint8 [C, h, w] whose memory lies as [h, w, C]."""
    generator = torch.Generator().manual_seed(count)
    sizes = [size(i) if callable(size) else size for i in range(count)]
    return [
        torch.randint(0, 256, (*one, channels), dtype=torch.uint8, generator=generator).permute(
            2, 0, 1
        )
        for one in sizes
    ]


def mixed_sizes(index: int) -> tuple[int, int]:
    return 20 + index % 7, 30 - index % 5


def make_maker(count: int = 60, *, size: tuple[int, int] = (16, 16)) -> BatchMaker:
    """A batch maker of three splits of images of differing sizes."""
    return BatchMaker(
        {
            "training": hold_images(draw_images(count, mixed_sizes)),
            "validation": hold_images(draw_images(9, mixed_sizes)),
            "test": hold_images(draw_images(11, mixed_sizes)),
        },
        size,
        MEAN,
    )


def describe(maker: BatchMaker) -> DataSetInfo:
    """What is known of the data set of a batch maker."""
    return DataSetInfo(
        name="own", classes=7, image=(3, *maker.size), mean=MEAN, std=STD, digest="0" * 16
    )
