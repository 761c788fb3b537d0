"""Open the source of a data set, of whatever kind: Parquet files, folders of image files, the
Hugging Face Hub, torchvision's downloads or scikit-learn."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pruning.user_error import list_some
from trainables.data.catalog import HubDataSet, ImageFolders, ParquetFiles, fingerprint_files
from trainables.data.hub import download_parquet
from trainables.data.image_folders import FolderListing, list_images
from trainables.data.image_source import NO_TEST_SPLIT, ImageSource, Record, choose_fixed
from trainables.data.parquet_rows import open_parquet
from trainables.data.torchvision_sets import open_torchvision

Files = ParquetFiles | ImageFolders | HubDataSet | None
"""What `find_files` finds."""


class FoundSource:
    """A source whose images can be told from others without being read.

    Listing is done when it is made; downloads by torchvision wait until it is opened.
    """

    def __init__(self, dataset: str, files: Files) -> None:
        """The source of a data set that `find_files` has found.

        Raises:
            UserError: files cannot be listed, or those of the Hub not be downloaded.
        """
        self.dataset = dataset
        self.files = download_parquet(files) if isinstance(files, HubDataSet) else files
        self._listing: FolderListing | None = None
        if isinstance(self.files, ImageFolders):
            self._listing = list_images(self.files.train, self.files.test)
            self.fingerprint = self._listing.fingerprint
        else:
            self.fingerprint = fingerprint_files(self.files)

    def open(self, downloads: Path) -> ImageSource:
        """The images, not read yet.

        Args:
            downloads: the folder for torchvision's files.

        Raises:
            UserError: a file is damaged or has other columns, or the download fails.
        """
        if self._listing:
            return open_folders(self.dataset, self._listing)
        if isinstance(self.files, ParquetFiles):
            return open_parquet(self.dataset, self.files)
        if self.dataset == "digits":
            return _open_digits()
        return open_torchvision(self.dataset, downloads)


def open_folders(dataset: str, listing: FolderListing) -> ImageSource:
    """The images of a data set in folders."""
    notes = []
    if not listing.test:
        notes.append(NO_TEST_SPLIT)
    elif listing.test_folder and listing.test_folder.name != "test":
        notes.append(f"the images in {listing.test_folder.name}/ are the test split")
    if listing.test and (bare := sorted(set(listing.classes) - listing.tested_classes())):
        notes.append(
            f"no test images of {list_some(bare)}: the accuracy is that of the other classes"
        )
    if listing.skipped:
        notes.append(f"{listing.skipped} files are no images by their names and are left out")
    if listing.loose:
        notes.append(f"{listing.loose} images lie in no folder of a class and are left out")
    if listing.unread:
        folders = ", ".join(f"{name}/" for name in listing.unread)
        notes.append(f"the images in {folders} are not read")
    return ImageSource(
        name=dataset,
        train=listing.count(listing.train),
        test=listing.count(listing.test),
        classes=len(listing.classes),
        records=partial(_read_files, listing),
        class_names=listing.classes,
        notes=tuple(notes),
    )


def _read_files(listing: FolderListing, start: int) -> Iterator[Record]:
    for folder in (*listing.train, *listing.test):
        skip = min(start, len(folder.names))
        start -= skip
        for name in folder.names[skip:]:
            path = folder.folder / name
            yield Record(path, folder.label, f"'{path}'")


def _open_digits() -> ImageSource:
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    test = choose_fixed(len(images), len(images) // 5)
    order = np.argsort(test, kind="stable")

    def read(start: int) -> Iterator[Record]:
        for index in order[start:]:
            yield Record(images[index], int(bunch.target[index]), f"'digits', image {index}")

    names = tuple(str(name) for name in bunch.target_names)
    return ImageSource("digits", int((~test).sum()), int(test.sum()), 10, read, names)
