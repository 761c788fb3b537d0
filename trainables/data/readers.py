"""Read the images of a data set: from Parquet files, torchvision's downloads or scikit-learn.

Each reader returns a training and a test split as arrays; Parquet files are as the Hugging Face Hub
has them. torchvision is imported only in the function that downloads, torch nowhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from pruning.user_error import UserError
from trainables.data.catalog import TORCHVISION, ParquetFiles, one_line
from trainables.data.parquet_rows import (
    check_label,
    count_rows,
    decode_image,
    label_limit,
    read_rows,
)

SPLIT_SEED = 20240229  # of the fixed splits, which must not change with a study's seeds


@dataclass(frozen=True)
class Images:
    """One split: uint8 [N, H, W, C] and int64 [N]."""

    x: np.ndarray
    y: np.ndarray


def read_images(
    dataset: str, files: ParquetFiles | None, *, downloads: Path
) -> tuple[Images, Images]:
    """The training and test split of a data set that `find_parquet_files` has accepted.

    Args:
        downloads: the folder for torchvision's files.

    Raises:
        UserError: a file is damaged or has other columns, or the download fails.
    """
    if files:
        return _read_parquet(dataset, files)
    return _read_digits() if dataset == "digits" else _read_torchvision(dataset, downloads)


def choose_fixed(total: int, count: int) -> np.ndarray:
    """A fixed random choice of `count` of `total` images as a bool array [total]; the same on every
    machine."""
    chosen = np.zeros(total, dtype=bool)
    # RandomState's streams are frozen by numpy's policy, those of its and torch's generators are
    # not.
    chosen[np.random.RandomState(SPLIT_SEED).permutation(total)[:count]] = True
    return chosen


def _read_digits() -> tuple[Images, Images]:
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    x = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    y = bunch.target.astype(np.int64)
    test = choose_fixed(len(x), len(x) // 5)
    return Images(x[~test], y[~test]), Images(x[test], y[test])


def _read_torchvision(dataset: str, downloads: Path) -> tuple[Images, Images]:
    try:
        from torchvision import datasets
    # It is not there, or fits another torch.
    except (ImportError, RuntimeError, AttributeError) as error:
        raise UserError(
            f"torchvision, which downloads '{dataset}', cannot be imported ({one_line(error)}); "
            "install the one that fits this torch, or give Parquet files by --data-dir"
        ) from error
    kind = getattr(datasets, TORCHVISION[dataset])
    try:
        splits = [kind(str(downloads), train=train, download=True) for train in (True, False)]
    except (OSError, RuntimeError, HTTPException) as error:
        raise UserError(
            f"torchvision cannot download '{dataset}' ({one_line(error)}); "
            "give Parquet files by --data-dir or connect to the network"
        ) from error
    pairs = [
        (np.asarray(split.data), np.asarray(split.targets, dtype=np.int64)) for split in splits
    ]
    train, test = (
        Images(np.ascontiguousarray(x if x.ndim == 4 else x[..., None]), y) for x, y in pairs
    )
    return train, test


def _read_parquet(dataset: str, files: ParquetFiles) -> tuple[Images, Images]:
    size: tuple[int, int] | None = None
    pictures: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    limit = label_limit(dataset, sum(count_rows(path) for path in (*files.train, *files.test)))
    for split, paths in (("train", files.train), ("test", files.test)):
        for picture, label, where in _decode_rows(dataset, paths, limit):
            size = size or picture.shape[:2]
            if picture.shape[:2] != size:
                raise UserError(
                    f"all images must have one size, {size[0]}x{size[1]} as the first, but {where} "
                    f"is {picture.shape[0]}x{picture.shape[1]}; resize them"
                )
            pictures[split].append(picture)
            labels[split].append(label)
        if not pictures[split]:
            raise UserError(f"the {split} split must not be empty, but '{paths[0]}' has no rows")
    # Grey only where all are grey: a colour data set may hold grey images, in any place.
    colour = any(picture.ndim == 3 for split in pictures.values() for picture in split)
    train, test = (
        Images(_stack(pictures[split], colour), np.array(labels[split], dtype=np.int64))
        for split in ("train", "test")
    )
    return train, test


def _decode_rows(
    dataset: str, paths: Sequence[Path], limit: int
) -> Iterator[tuple[np.ndarray, int, str]]:
    """The image and the label of each row of some Parquet files, and where it is, for messages."""
    for path in paths:
        for row, (encoded, label) in enumerate(read_rows(path, dataset)):
            where = f"'{path}', row {row}"
            picture = decode_image(encoded, where)
            yield picture, check_label(label, dataset, limit, where), where


def _stack(pictures: Sequence[np.ndarray], colour: bool) -> np.ndarray:
    """All images of a split as uint8 [N, H, W, C]."""
    if not colour:
        return np.stack(pictures)[..., None]
    coloured = (
        picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
        for picture in pictures
    )
    return np.stack(list(coloured))
