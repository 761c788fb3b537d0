"""Where the images of a data set come from, in one form for all kinds of sources: a listing that is
made without reading images, and records in a fixed order.

The records are first those of the training split, then those of the test split. Where a source has
no test split, a fixed tenth of its images becomes one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pruning.user_error import UserError
from trainables.data.error_text import one_line
from trainables.data.loader_interface import Split

SPLIT_SEED = 20240229  # of the fixed splits, which must not change with a study's seeds
SPLITS: tuple[Split, ...] = ("training", "validation", "test")


@dataclass(frozen=True)
class Record:
    """An image and its label.

    content: the encoded image, the file that holds it, or its pixels, uint8 [H, W, C]. where: for
    messages, with quotation marks.
    """

    content: bytes | Path | np.ndarray | None
    label: int
    where: str

    def read(self) -> bytes | np.ndarray | None:
        """The content, read from its file.

        Raises:
            UserError: the file cannot be read.
        """
        if not isinstance(self.content, Path):
            return self.content
        try:
            return self.content.read_bytes()
        except OSError as error:
            raise UserError(f"cannot read {self.where}: {one_line(error)}") from error


@dataclass(frozen=True)
class ImageSource:
    """The images of a data set, not read yet.

    train, test: how many there are; test is 0 where the source has no such split. classes: None
    where only the labels tell. records: all from one on, training images first. notes: what is to
    be said of the source.
    """

    name: str
    train: int
    test: int
    classes: int | None
    records: Callable[[int], Iterator[Record]]
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = field(default=())

    def splits(self) -> np.ndarray:
        """The split of each record, as its place in `SPLITS`: uint8 [N].

        Raises:
            UserError: there are too few images.
        """
        total = self.train + self.test
        splits = np.zeros(total, dtype=np.uint8)
        if self.test:
            splits[self.train :] = 2
        elif total > 1:
            splits[choose_fixed(total, count_held_out(total))] = 2
        training = np.flatnonzero(splits == 0)
        check_training_images(self.name, len(training))
        splits[training[choose_fixed(len(training), count_held_out(len(training)))]] = 1
        return splits


NO_TEST_SPLIT = "there is no test split: a fixed tenth of the images is taken for it"


def choose_fixed(total: int, count: int) -> np.ndarray:
    """A fixed random choice of `count` of `total` images as a bool array [total]; the same on every
    machine."""
    chosen = np.zeros(total, dtype=bool)
    # RandomState's streams are frozen by numpy's policy, those of its and torch's generators are
    # not.
    chosen[np.random.RandomState(SPLIT_SEED).permutation(total)[:count]] = True
    return chosen


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


def sizes_differ(
    name: str, smallest: tuple[int, int] | None, largest: tuple[int, int] | None
) -> str:
    """What is wrong with images of different heights and widths where one size is needed."""
    range_of_sizes = ""
    if smallest and largest:
        (low, narrow), (high, wide) = smallest, largest
        range_of_sizes = f" ({low} to {high} high, {narrow} to {wide} wide)"
    return (
        f"the images of '{name}' differ in size{range_of_sizes}; "
        "give image_size: 224, or another size that all are brought to"
    )
