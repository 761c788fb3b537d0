"""How many images a data set has, of what shape and in how many classes, before it is prepared.

Of the user's Parquet files the metadata and the labels are read, and images until one has colours.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pruning.user_error import UserError
from trainables.data.catalog import DATASETS, ParquetFiles, find_parquet_files
from trainables.data.parquet_rows import (
    check_label,
    count_rows,
    decode_image,
    has_colour,
    iterate_images,
    label_limit,
    read_labels,
)


@dataclass(frozen=True)
class DataSize:
    """What studies are planned with.

    training: images of the training split, those held out for validation among them. image:
    (channels, height, width) of one. classes: how many logits a network must have.
    """

    training: int
    image: tuple[int, int, int]
    classes: int

    def training_images(self, *, hold_out: bool) -> int:
        """Images of one epoch, with or without a validation split held out."""
        return self.training - count_held_out(self.training) if hold_out else self.training


KNOWN = {
    "digits": DataSize(1438, (1, 8, 8), 10),
    "cifar10": DataSize(50_000, (3, 32, 32), 10),
    "cifar100": DataSize(50_000, (3, 32, 32), 100),
    "mnist": DataSize(60_000, (1, 28, 28), 10),
    "fashion_mnist": DataSize(60_000, (1, 28, 28), 10),
}


def count_held_out(training: int) -> int:
    """Images of the validation split: a tenth of the training images, at least one."""
    return max(1, training // 10)


def check_training_images(name: str, count: int) -> None:
    """Pass if the training images can be split.

    Raises:
        UserError: there are too few.
    """
    if count < 2:
        raise UserError(f"the training split needs at least 2 images, but '{name}' has {count}")


def read_data_size(dataset: str, data_dir: str | Path | None) -> DataSize:
    """The size of a data set that need not be prepared yet; files are read once in a process.

    Raises:
        UserError: there is no such data set; or a file cannot be read, has no images, or a label
            that cannot be one.
    """
    folder = None if data_dir is None else Path(data_dir).expanduser().absolute()
    return _read_once(dataset, folder)


@cache
def _read_once(dataset: str, folder: Path | None) -> DataSize:
    files = find_parquet_files(dataset, folder)
    return _read_parquet_size(dataset, files) if files else KNOWN[dataset]


@cache
def guess_data_size(dataset: str, data_dir: str | None) -> tuple[DataSize, bool]:
    """The size of a data set, and whether it is a guess, like CIFAR-10, because its files are not
    here."""
    try:
        return read_data_size(dataset, data_dir), False
    except UserError:
        return KNOWN.get(dataset, KNOWN["cifar10"]), dataset not in KNOWN


def _read_parquet_size(dataset: str, files: ParquetFiles) -> DataSize:
    paths = (*files.train, *files.test)
    rows = {path: count_rows(path) for path in paths}
    limit = label_limit(dataset, sum(rows.values()))
    for split, its_paths in (("train", files.train), ("test", files.test)):
        if not any(rows[path] for path in its_paths):
            raise UserError(
                f"the {split} split must not be empty, but '{its_paths[0]}' has no rows"
            )
    largest = max(_largest_label(path, dataset, limit) for path in paths if rows[path])
    first = next(path for path in paths if rows[path])
    image = decode_image(next(iterate_images(first, dataset)), f"'{first}', row 0")
    height, width = image.shape[:2]
    # Stops at the first image with colours; data sets without any are small.
    coloured = any(has_colour(other) for path in paths for other in iterate_images(path, dataset))
    classes = DATASETS.get(dataset, 1 + largest)
    training = sum(rows[path] for path in files.train)
    check_training_images(dataset, training)
    return DataSize(training, (3 if coloured else 1, height, width), classes)


def _largest_label(path: Path, dataset: str, limit: int) -> int:
    labels = enumerate(read_labels(path, dataset))
    return max(check_label(label, dataset, limit, f"'{path}', row {row}") for row, label in labels)
