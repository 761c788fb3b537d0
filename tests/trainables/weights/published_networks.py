"""The four trained networks and the test images of `../shared/data`, read without the project's own
readers, so that what is measured here is measured independently."""

import io
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pyarrow import parquet
from torch import Tensor, nn

DATA = Path(__file__).parents[4] / "shared" / "data"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as their authors trained
FILES = {
    "resnet20a": "resnet20-12fca82f.th",
    "resnet32a": "resnet32-d509ac18.th",
    "resnet44a": "resnet44-014dd654.th",
    "resnet56a": "resnet56-4bfd9763.th",
}
# How many of the first test images (JPEG copies) each gets right in fp32: images, right. Of all
# 10,000, which takes a minute: 8103, 8256, 8267 and 8320, last counted on 2026-11-30.
RIGHT = {
    "resnet20a": (10_000, 8103),
    "resnet32a": (2000, 1668),
    "resnet44a": (2000, 1659),
    "resnet56a": (2000, 1674),
}

needs_weights = pytest.mark.skipif(
    not (DATA / "weights").is_dir(), reason="needs the trained networks in ../shared/data/weights"
)


def file_of(model: str) -> Path:
    """The file of a trained network."""
    return DATA / "weights" / FILES[model]


@lru_cache(maxsize=1)
def read_test_images(number: int) -> tuple[Tensor, Tensor]:
    """The first test images of CIFAR-10, normalised, [number, 3, 32, 32], and their classes."""
    (path,) = sorted((DATA / "cifar10").rglob("test*.parquet"))
    table = parquet.read_table(path).slice(0, number)
    pixels = np.stack(
        [
            np.asarray(Image.open(io.BytesIO(image["bytes"])).convert("RGB"))
            for image in table["img"].to_pylist()
        ]
    )
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (images - mean) / std, torch.tensor(table["label"].to_pylist())


@torch.no_grad()
def count_right(network: nn.Module, number: int) -> int:
    """How many of the first test images a network gets right, in fp32."""
    images, labels = read_test_images(number)
    network.eval()
    return sum(
        int((network(images[first : first + 500]).argmax(1) == labels[first : first + 500]).sum())
        for first in range(0, number, 500)
    )
