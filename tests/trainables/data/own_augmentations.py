"""Augmentations as a user may write them, for the tests: good ones and bad ones."""

import random

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional


def shrink_to_16(image: Tensor) -> Tensor:
    return functional.resize(image, [16, 16], antialias=True)


def noisy(image: Tensor) -> Tensor:
    """Draws from all three generators; float in 0..1."""
    small = shrink_to_16(image).float() / 255
    shift = random.random() + np.random.rand() + float(torch.rand(()))
    return (small * 0.5 + shift / 6).clamp(0, 1)


def as_it_is(image: Tensor) -> Tensor:
    return image


def as_a_list(image: Tensor) -> list[Tensor]:
    return [image]


def as_double(image: Tensor) -> Tensor:
    return shrink_to_16(image).double()


def raising(image: Tensor) -> Tensor:
    raise KeyError("no such\ncolour")


not_callable = 3
