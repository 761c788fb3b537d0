"""A folder of JPEG files of differing sizes, one folder per class, for the tests of the loaders."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_jpeg_folder(
    folder: Path, *, train: int, test: int, classes: int, least: int = 20, most: int = 60
) -> Path:
    """Write `train` and `test` images, each of a height and a width of its own between `least` and
    `most`; images of a class resemble each other. Returns the folder."""
    generator = np.random.default_rng(7)
    patterns = generator.integers(0, 256, (classes, 5, 5, 3), dtype=np.uint8)
    for split, count in (("train", train), ("test", test)):
        for index in range(count):
            label = index % classes
            noise = generator.integers(-60, 61, (5, 5, 3))
            small = np.clip(patterns[label].astype(int) + noise, 0, 255).astype(np.uint8)
            height, width = generator.integers(least, most + 1, 2).tolist()
            path = folder / split / f"class_{label:02d}" / f"{index:05d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
            image.save(path, "JPEG", quality=90)
    return folder
