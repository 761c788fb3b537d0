"""Folders of small image files of different sizes, for the tests of this folder."""

from pathlib import Path

import numpy as np
from PIL import Image

from tests.trainables.data.parquet_images import encode


def draw_picture(number: int) -> np.ndarray:
    """A smooth picture, uint8 [H, W, 3], of its own size and colours."""
    draw = np.random.default_rng(number)
    height, width = (int(side) for side in draw.integers(20, 61, 2))
    small = Image.fromarray(draw.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def write_folders(top: Path, *, train: int, test: int, classes: int = 4) -> None:
    """`train/class_00/00000.jpg` and so on, number `i` in class `i % classes`."""
    for split, first, count in (("train", 0, train), ("test", train, test)):
        for number in range(first, first + count):
            path = top / split / f"class_{number % classes:02}" / f"{number:05}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(draw_picture(number), "JPEG"))
