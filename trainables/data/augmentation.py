"""Augmentation of single images by torchvision's transforms: each image by random numbers of its
own, so that it does not matter which process makes it, nor in which order.

Random resized crops are those of Szegedy et al. 2015 (arXiv 1409.4842); RandAugment of Cubuk et al.
2020 (arXiv 1909.13719); TrivialAugment of Müller and Hutter 2021 (arXiv 2103.10158); random erasing
of Zhong et al. 2020 (arXiv 1708.04896). All with torchvision's defaults; it is imported only where
it is used, which takes a second or more.
"""

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from trainables.data.augment_names import SIZING, import_own_function, names_of
from trainables.data.batches import border
from trainables.data.loader_interface import Augment

Transform = Callable[[Tensor], Tensor]
# Evaluation after training with resized crops: the shorter side is 256 where the crop is 224.
ENLARGED = 256 / 224


def fit(image: Tensor, size: tuple[int, int], *, enlarged: bool = False) -> Tensor:
    """An image uint8 [C, h, w] brought to `size` without distortion: resized (bilinear,
    antialiased) until its shorter side is the shorter of `size`, or 256/224 of that where
    `enlarged`, and its middle cut out. One that has the size stays as it is, unless `enlarged`."""
    if not enlarged and tuple(image.shape[1:]) == size:
        return image
    from torchvision.transforms.v2 import functional

    shorter = round(min(size) * ENLARGED) if enlarged else min(size)
    resized = functional.resize(image, [shorter], antialias=True)
    return cast(Tensor, functional.center_crop(resized, list(size)))


@lru_cache(maxsize=8)
def make_transforms(
    augment: Augment, size: tuple[int, int], mean: tuple[float, ...]
) -> tuple[Transform, ...]:
    """What is done, in this order, to a training image uint8 [C, h, w] that ends as [C, H, W].

    The first of the names that brings images to a size (crop, crop_flip, resized_crop, or a
    function of the user) is given the image with what stands before it done; where there is none,
    the image is first brought to its size by `fit`.

    Args:
        size: H and W.
        mean: of the channels, in 0..1: what random erasing leaves.

    Raises:
        UserError: a function of the user is missing.
    """
    names = names_of(augment)
    sized = any(name in SIZING or ":" in name for name in names)
    transforms: list[Transform] = [] if sized else [lambda image: fit(image, size)]
    for name in names:
        transforms += _make(name, size, mean)
    return tuple(transforms)


def _make(name: str, size: tuple[int, int], mean: tuple[float, ...]) -> Sequence[Transform]:
    """The transforms of one name."""
    from torchvision.transforms import v2

    match name:
        case "none":
            return [lambda image: fit(image, size)]
        case "crop" | "crop_flip":
            flip = [_flip] if name == "crop_flip" else []
            padded = v2.RandomCrop(size, padding=border(*size))
            return [lambda image: fit(image, size), padded, *flip]
        case "resized_crop":
            crop = v2.RandomResizedCrop(size, antialias=True)
            # Without `forward`, which takes nested inputs apart: a tenth of the time.
            return [lambda image: crop.transform(image, crop.make_params([image])), _flip]
        case "randaugment":
            return [v2.RandAugment()]
        case "trivial_augment":
            return [v2.TrivialAugmentWide()]
        case "random_erasing":
            return [v2.RandomErasing(value=[round(255 * value) for value in mean])]
    return [cast(Transform, import_own_function(name))]


def _flip(image: Tensor) -> Tensor:
    """The image [C, H, W] mirrored with probability 1/2, as of RandomHorizontalFlip."""
    return image if torch.rand(1) >= 0.5 else image.flip(-1)


def seed_image(seed: int, index: int) -> None:
    """Seed what an augmentation of one image may draw from: torch's generator of the CPU, numpy's
    and Python's global ones; by the seed of the epoch and the image's index alone."""
    digest = hashlib.blake2b(f"{seed}/{index}".encode(), digest_size=8).digest()
    own = int.from_bytes(digest, "big") >> 1
    # Not torch.manual_seed, which also notes a call for every GPU that is not in use yet.
    torch.default_generator.manual_seed(own)
    np.random.seed(own % 2**32)
    random.seed(own)


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Give back the global random states as they were: those of torch on the CPU, numpy and
    Python."""
    states: tuple[Any, ...] = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
