"""How many images a data set has, of what shape and in how many classes, before it is prepared.

Of Parquet files the metadata and the labels are read, and images until one has colours; of folders
the names, and the headers of some images.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from pathlib import Path

from pruning.user_error import UserError
from trainables.data.catalog import DATASETS, HubDataSet, ImageFolders, ParquetFiles, find_files
from trainables.data.hub import download_parquet
from trainables.data.image_decoding import ImageHeader, read_header
from trainables.data.image_folders import FolderListing, list_images
from trainables.data.image_source import (
    check_training_images,
    count_held_out,
    sizes_differ,
)
from trainables.data.parquet_rows import (
    check_label,
    count_rows,
    iterate_images,
    label_limit,
    read_class_names,
    read_labels,
)

# Images whose headers tell whether all have one size; `prepare` reads those of all.
SAMPLED = 256


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


@dataclass(frozen=True)
class FoundSize:
    """What the source of a data set says of itself before it is prepared.

    training, test: images of these splits. channels: 1 only where all images that were looked at
    are grey. smallest, largest: heights and widths of the images that were looked at, taken apart;
    None where it is known without looking that sizes differ.
    """

    training: int
    test: int
    classes: int
    channels: int
    smallest: tuple[int, int] | None
    largest: tuple[int, int] | None
    class_names: tuple[str, ...] | None = None


KNOWN = {
    "digits": DataSize(1438, (1, 8, 8), 10),
    "cifar10": DataSize(50_000, (3, 32, 32), 10),
    "cifar100": DataSize(50_000, (3, 32, 32), 100),
    "mnist": DataSize(60_000, (1, 28, 28), 10),
    "fashion_mnist": DataSize(60_000, (1, 28, 28), 10),
    "svhn": DataSize(73_257, (3, 32, 32), 10),
    "stl10": DataSize(5_000, (3, 96, 96), 10),
}
TEST_IMAGES = {
    "digits": 359,
    "cifar10": 10_000,
    "cifar100": 10_000,
    "mnist": 10_000,
    "fashion_mnist": 10_000,
    "svhn": 26_032,
    "stl10": 8_000,
}
# Data sets by name whose images differ in size.
KNOWN_OF_MANY_SIZES = {
    "food101": FoundSize(75_750, 25_250, 101, 3, None, None),
    "flowers102": FoundSize(2_040, 6_149, 102, 3, None, None),
    "oxford_iiit_pet": FoundSize(3_680, 3_669, 37, 3, None, None),
    "imagenette": FoundSize(9_469, 3_925, 10, 3, None, None),
}


def read_data_size(
    dataset: str, data_dir: str | Path | None, image_size: int | None = None
) -> DataSize:
    """The size of a data set that need not be prepared yet; files are read once in a process.

    Args:
        image_size: the side that all images are brought to; None leaves them as they are.

    Raises:
        UserError: there is no such data set; a file cannot be read, has no images, or a label
            that cannot be one; or the images differ in size and `image_size` is not given.
    """
    folder = None if data_dir is None else Path(data_dir).expanduser().absolute()
    return _read_sized(dataset, folder, image_size)


def read_found_size(dataset: str, data_dir: str | Path | None) -> FoundSize:
    """What a data set says of itself, whatever sizes its images have; read once in a process.

    Raises:
        UserError: as `read_data_size`, except for sizes.
    """
    folder = None if data_dir is None else Path(data_dir).expanduser().absolute()
    return _read_once(dataset, folder)


@cache
def _read_sized(dataset: str, folder: Path | None, image_size: int | None) -> DataSize:
    found = _read_once(dataset, folder)
    if image_size is not None:
        size = (image_size, image_size)
    elif found.largest is None or found.smallest != found.largest:
        raise UserError(sizes_differ(dataset, found.smallest, found.largest))
    else:
        size = found.largest
    return DataSize(found.training, (found.channels, *size), found.classes)


@cache
def _read_once(dataset: str, folder: Path | None) -> FoundSize:
    files = find_files(dataset, folder)
    if isinstance(files, HubDataSet):
        files = download_parquet(files)
    if isinstance(files, ParquetFiles):
        return _read_parquet_size(dataset, files)
    if isinstance(files, ImageFolders):
        return _read_folder_size(dataset, list_images(files.train, files.test))
    if dataset in KNOWN_OF_MANY_SIZES:
        return KNOWN_OF_MANY_SIZES[dataset]
    known = KNOWN[dataset]
    channels, *size = known.image
    sides = (size[0], size[1])
    test = TEST_IMAGES.get(dataset, 0)
    return FoundSize(known.training, test, known.classes, channels, sides, sides)


@cache
def guess_data_size(
    dataset: str, data_dir: str | None, image_size: int | None = None
) -> tuple[DataSize, bool]:
    """The size of a data set, and whether it is a guess, like CIFAR-10, because its files are not
    here."""
    try:
        return read_data_size(dataset, data_dir, image_size), False
    except UserError:
        known = KNOWN.get(dataset, KNOWN["cifar10"])
        if image_size is not None:
            known = replace(known, image=(known.image[0], image_size, image_size))
        return known, dataset not in KNOWN


def _read_parquet_size(dataset: str, files: ParquetFiles) -> FoundSize:
    paths = (*files.train, *files.test)
    rows = {path: count_rows(path) for path in paths}
    limit = label_limit(dataset, sum(rows.values()))
    for split, its_paths in (("train", files.train), ("test", files.test)):
        if its_paths and not any(rows[path] for path in its_paths):
            raise UserError(
                f"the {split} split must not be empty, but '{its_paths[0]}' has no rows"
            )
    largest = max(_largest_label(path, dataset, limit) for path in paths if rows[path])
    encoded = (
        (image, f"'{path}', row {row}")
        for path in paths
        for row, image in enumerate(iterate_images(path, dataset))
    )
    looked_at = _look_at(encoded)
    classes = DATASETS.get(dataset, 1 + largest)
    names = read_class_names(files.train[0], dataset)
    training = sum(rows[path] for path in files.train)
    test = sum(rows[path] for path in files.test)
    return _describe(
        dataset, training, test, classes, looked_at, names[:classes] if names else None
    )


def _read_folder_size(dataset: str, listing: FolderListing) -> FoundSize:
    folders = (*listing.train, *listing.test)
    total = sum(len(folder.names) for folder in folders)
    paths = chain.from_iterable(folder.paths() for folder in folders)
    step = max(1, total // SAMPLED)
    encoded = (
        (path.read_bytes(), f"'{path}'") for number, path in enumerate(paths) if number % step == 0
    )
    training, test = listing.count(listing.train), listing.count(listing.test)
    classes = len(listing.classes)
    return _describe(dataset, training, test, classes, _look_at(encoded), listing.classes)


def _look_at(encoded: Iterable[tuple[bytes | None, str]]) -> list[ImageHeader]:
    """The headers of images, until `SAMPLED` have been read and one of them has colours. Data sets
    without any colours are small."""
    headers, coloured = [], False
    for content, where in encoded:
        headers.append(read_header(content, where))
        coloured = coloured or not headers[-1].grey
        if len(headers) >= SAMPLED and coloured:
            break
    return headers


def _describe(
    dataset: str,
    training: int,
    test: int,
    classes: int,
    headers: list[ImageHeader],
    names: tuple[str, ...] | None,
) -> FoundSize:
    if not test:
        test = count_held_out(training)
        training -= test
    check_training_images(dataset, training)
    heights, widths = ([header[place] for header in headers] for place in (0, 1))
    channels = 1 if all(header.grey for header in headers) else 3
    smallest, largest = (min(heights), min(widths)), (max(heights), max(widths))
    return FoundSize(training, test, classes, channels, smallest, largest, names)


def _largest_label(path: Path, dataset: str, limit: int) -> int:
    labels = enumerate(read_labels(path, dataset))
    return max(check_label(label, dataset, limit, f"'{path}', row {row}") for row, label in labels)
