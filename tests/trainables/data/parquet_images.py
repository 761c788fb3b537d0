"""Small data sets in Parquet files, for the tests of this folder."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def draw_images(count: int, shape: tuple[int, ...], *, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def encode(picture: np.ndarray | Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(buffer, kind)
    return buffer.getvalue()


def write_parquet(
    path: Path,
    encoded: Sequence[bytes | None],
    labels: Sequence[int | None],
    *,
    label: str = "label",
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": content, "path": f"{i}.png"} for i, content in enumerate(encoded)]
    pq.write_table(pa.table({"img": images, label: pa.array(labels, pa.int64())}), path)


def write_dataset(
    folder: Path, *, train: int = 40, test: int = 10, shape: tuple[int, ...] = (6, 5, 3)
) -> np.ndarray:
    x = draw_images(train + test, shape, seed=1)
    labels = [i % 4 for i in range(train + test)]
    encoded = [encode(picture) for picture in x]
    half = train // 2
    write_parquet(folder / "train-00000-of-00002.parquet", encoded[:half], labels[:half])
    write_parquet(folder / "train-00001-of-00002.parquet", encoded[half:train], labels[half:train])
    write_parquet(folder / "test-00000-of-00001.parquet", encoded[train:], labels[train:])
    return x
