"""Data sets that torchvision downloads, as arrays or as the files that it unpacks.

torchvision is imported only where it is used.
"""

from collections.abc import Iterator
from functools import partial
from http.client import HTTPException
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from pruning.user_error import UserError
from trainables.data.catalog import DATASETS, TORCHVISION
from trainables.data.error_text import one_line
from trainables.data.image_source import ImageSource, Record

_Arguments = tuple[dict[str, Any], ...]
# What makes the splits for training and for the test; all others have a flag `train`.
_SPLITS: dict[str, tuple[_Arguments, _Arguments]] = {
    "svhn": (({"split": "train"},), ({"split": "test"},)),
    "stl10": (({"split": "train"},), ({"split": "test"},)),
    "food101": (({"split": "train"},), ({"split": "test"},)),
    "flowers102": (({"split": "train"}, {"split": "val"}), ({"split": "test"},)),
    "oxford_iiit_pet": (({"split": "trainval"},), ({"split": "test"},)),
    "imagenette": (({"split": "train"},), ({"split": "val"},)),
}
_BY_FLAG: tuple[_Arguments, _Arguments] = (({"train": True},), ({"train": False},))
_NOTES = {
    "flowers102": ("the training images are those of its splits train and val",),
    "imagenette": ("its split val is the test split",),
}


def open_torchvision(dataset: str, downloads: Path) -> ImageSource:
    """The images of a data set in `TORCHVISION`, downloaded to a folder unless they are there.

    Raises:
        UserError: torchvision cannot be imported, or the download fails.
    """
    try:
        from torchvision import datasets
    # It is not there, or fits another torch.
    except (ImportError, RuntimeError, AttributeError) as error:
        raise UserError(
            f"torchvision, which downloads '{dataset}', cannot be imported ({one_line(error)}); "
            "install the one that fits this torch, or give image folders or Parquet files by "
            "--data-dir"
        ) from error
    kind = getattr(datasets, TORCHVISION[dataset])
    try:
        train, test = (
            [kind(str(downloads), download=True, **arguments) for arguments in split]
            for split in _SPLITS.get(dataset, _BY_FLAG)
        )
    except (OSError, RuntimeError, HTTPException) as error:
        raise UserError(
            f"torchvision cannot download '{dataset}' ({one_line(error)}); give image folders or "
            "Parquet files by --data-dir or connect to the network"
        ) from error
    return ImageSource(
        name=dataset,
        train=sum(map(len, train)),
        test=sum(map(len, test)),
        classes=DATASETS[dataset],
        records=partial(_read_records, (*train, *test), dataset),
        class_names=_class_names(train[0], DATASETS[dataset]),
        notes=_NOTES.get(dataset, ()),
    )


def _read_records(parts: tuple[Any, ...], dataset: str, start: int) -> Iterator[Record]:
    records = (_files(part) or _arrays(part, dataset) for part in parts)
    return islice(chain.from_iterable(records), start, None)


def _files(part: Any) -> Iterator[Record] | None:
    """The records of a data set that torchvision keeps as files; None for one of arrays."""
    if samples := getattr(part, "_samples", None):
        pairs = iter(samples)
    elif files := getattr(part, "_image_files", None) or getattr(part, "_images", None):
        pairs = zip(files, part._labels, strict=True)
    else:
        return None
    return (Record(Path(path), int(label), f"'{path}'") for path, label in pairs)


def _arrays(part: Any, dataset: str) -> Iterator[Record]:
    images = np.asarray(part.data)
    labels = part.targets if hasattr(part, "targets") else part.labels
    if images.ndim == 3:
        images = images[..., None]
    elif dataset in ("svhn", "stl10"):
        images = images.transpose(0, 2, 3, 1)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield Record(np.ascontiguousarray(image), int(label), f"'{dataset}', image {number}")


def _class_names(part: Any, classes: int) -> tuple[str, ...] | None:
    """The names that torchvision knows; None where it has none, or not one for each class."""
    names = getattr(part, "classes", None) or ()
    # Imagenette has all synonyms of a name.
    plain = tuple(str(name if isinstance(name, str) else name[0]) for name in names)
    return plain if len(plain) == classes else None
