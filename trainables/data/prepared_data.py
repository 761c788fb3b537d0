"""What is known of a prepared data set, and its images as they lie on the disk.

A prepared data set is a folder with the encoded images (`encoded.bin`), the index (`index.npy`),
the facts (`facts.json`, with checksums of itself and of the index) and, unless it is large, the
decoded pixels (`pixels.bin`, [H, W, C] per image without gaps, in the order of the index: training,
validation, test). It appears under its name only when it is whole. Imports no torch.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pruning.user_error import UserError
from trainables.data.catalog import DATASETS
from trainables.data.image_source import SPLITS
from trainables.data.image_store import Gathered
from trainables.data.loader_interface import MeanStd, Split
from trainables.data.stored_images import ENCODED, INDEX, PIXELS, StoredImages
from trainables.storage.atomic_write import write_atomically

FACTS = "facts.json"
# Data sets of one size up to so many bytes decoded have the digest that they always had, of their
# pixels in order; their pixels are always kept. Of others it is that of the images' checksums.
KEPT_BYTES = 4 * 2**30
CHECKED_BYTES = 2**30
NAMED = 10  # classes that are named in the log
_BYTES_READ = 2**24


@dataclass(frozen=True, kw_only=True)
class PreparedData:
    """A prepared data set.

    classes: how many logits a network needs. image: (channels, height, width), None where the
    images differ in size; `smallest` and `largest` are heights and widths, taken apart. mean, std:
    per channel over all pixels of the training split, in 0..1; with_validation: the same over
    training and validation images. counts: images for training, validation and test. decoded_bytes,
    encoded_bytes: of all images together. digest: the first 16 hex digits of the SHA-256 of the
    content, the same however the images lie. notes: what is to be said of the data.
    """

    folder: Path
    name: str
    classes: int
    class_names: tuple[str, ...] | None
    image: tuple[int, int, int] | None
    channels: int
    smallest: tuple[int, int]
    largest: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    with_validation: MeanStd
    counts: tuple[int, int, int]
    decoded_bytes: int
    encoded_bytes: int
    digest: str
    notes: tuple[str, ...]

    @property
    def has_pixels(self) -> bool:
        """Whether the decoded pixels are there."""
        try:
            return (self.folder / PIXELS).stat().st_size == self.decoded_bytes
        except OSError:
            return False

    def count(self, split: Split) -> int:
        """How many images a split has."""
        return self.counts[SPLITS.index(split)]

    def describe(self) -> list[str]:
        """Lines for the log: the classes, where they have names that the source says, and the
        notes."""
        lines = list(self.notes)
        if self.class_names and self.name not in DATASETS:
            names = ", ".join(self.class_names[:NAMED])
            more = ", ..." if self.classes > NAMED else ""
            lines.insert(0, f"{self.classes} classes: {names}{more}")
        return [f"data set '{self.name}': {line}" for line in lines]

    def images(self, split: Split, *, encoded: bool) -> StoredImages:
        """The images of a split.

        Args:
            encoded: decode them on the way; otherwise they lie decoded.

        Raises:
            ValueError: they do not lie decoded.
        """
        if not encoded and not self.has_pixels:
            raise ValueError(f"'{self.name}' was prepared without its pixels")
        start = sum(self.counts[: SPLITS.index(split)])
        stop = start + self.count(split)
        return StoredImages(self.folder, start, stop, encoded=encoded, channels=self.channels)

    def joined(self) -> PreparedData:
        """The data with the validation images behind those for training, for studies that hold none
        out. Mean and std are of both; the digest stays."""
        training, validation, test = self.counts
        mean, std = self.with_validation
        return replace(self, mean=mean, std=std, counts=(training + validation, 0, test))

    def check(self) -> None:
        """Compare the digest with that of the pixels where it is of them, else with that of the
        index, whose checksums are compared with the images whenever one is read.

        Raises:
            UserError: they differ, or cannot be read.
        """
        try:
            index = np.load(self.folder / INDEX, mmap_mode="r", allow_pickle=False)
            with ExitStack() as stack:
                stream = None
                if is_digest_of_pixels(self):
                    stream = stack.enter_context((self.folder / PIXELS).open("rb"))
                intact = content_digest(self, index, stream) == self.digest
        except (OSError, ValueError) as error:
            raise _cannot_load(self.folder, error) from error
        if not intact:
            raise _differs(self.folder)

    def check_encoded(self) -> None:
        """Compare encoded images with their checksums: all of up to `CHECKED_BYTES`, of more as
        many, evenly spread. Each one is compared again whenever it is read.

        Raises:
            UserError: one differs, or cannot be read.
        """
        images = StoredImages(
            self.folder, 0, sum(self.counts), encoded=True, channels=self.channels
        )
        try:
            for number in range(0, len(images), 1 + self.encoded_bytes // CHECKED_BYTES):
                images.encoded_bytes(number)
        except (OSError, ValueError) as error:
            raise _cannot_load(self.folder, error) from error


def is_small(decoded_bytes: int) -> bool:
    """Whether a data set of so many bytes is kept decoded without being asked for."""
    return decoded_bytes <= KEPT_BYTES


def is_digest_of_pixels(data: PreparedData) -> bool:
    """Whether the digest is that of the pixels in order, and not of their checksums."""
    return data.image is not None and is_small(data.decoded_bytes)


def describe(
    gathered: Gathered, sums: np.ndarray, folder: Path, *, name: str, classes: int | None,
    class_names: tuple[str, ...] | None,
) -> PreparedData:  # fmt: skip
    """The facts of a data set whose images have been gathered and decoded; without the digest."""
    index, channels = gathered.index, gathered.channels
    heights, widths = index["height"], index["width"]
    smallest = (int(heights.min()), int(widths.min()))
    largest = (int(heights.max()), int(widths.max()))
    training, validation, test = gathered.counts
    pixels = np.cumsum(heights.astype(np.int64) * widths)
    counted = int(pixels[training - 1]), int(pixels[training + validation - 1])
    mean, std = channel_statistics(sums[0], counted[0])
    count = classes if classes is not None else 1 + int(index["label"].max())
    return PreparedData(
        folder=folder,
        name=name,
        classes=count,
        class_names=class_names[:count] if class_names and len(class_names) >= count else None,
        image=(channels, *largest) if smallest == largest else None,
        channels=channels,
        smallest=smallest,
        largest=largest,
        mean=mean,
        std=std,
        with_validation=channel_statistics(sums.sum(axis=0), counted[1]),
        counts=(training, validation, test),
        decoded_bytes=gathered.pixel_bytes,
        encoded_bytes=int(index["length"].sum()),
        digest="",
        notes=gathered.notes,
    )


def channel_statistics(sums: np.ndarray, pixels: int) -> MeanStd:
    """Mean and std per channel, in 0..1, from the sums of the values 0..255 and of their squares,
    [2, channels]; the std of a constant channel is given as 1."""
    means = [int(total) / pixels for total in sums[0]]
    stds = [
        math.sqrt(max(0.0, int(squares) / pixels - mean * mean))
        for squares, mean in zip(sums[1], means, strict=True)
    ]
    return tuple(mean / 255 for mean in means), tuple((std or 255.0) / 255 for std in stds)


def content_digest(data: PreparedData, index: np.ndarray, pixels: BinaryIO | None) -> str:
    """The digest of a data set with this index.

    Args:
        pixels: the decoded pixels, read only for data sets of one size up to `KEPT_BYTES`.

    Raises:
        OSError: they cannot be read.
        ValueError: they are missing.
    """
    facts = (data.name, data.classes, data.image, data.mean, data.std)
    if not is_digest_of_pixels(data):
        state = hashlib.sha256(repr((*facts, data.channels, data.counts)).encode())
        for field in ("label", "height", "width", "pixels_check"):
            state.update(np.ascontiguousarray(index[field]).data)
        return state.hexdigest()[:16]
    if pixels is None:
        raise ValueError("a data set of this size has its pixels")
    state = hashlib.sha256(repr(facts).encode())
    channels, height, width = data.image or (0, 0, 0)
    start = 0
    for name, count in zip(("train", "val", "test"), data.counts, strict=True):
        state.update(f"{name}_x {(count, height, width, channels)}".encode())
        left = count * height * width * channels
        while left:
            part = pixels.read(min(left, _BYTES_READ))
            if not part:
                raise ValueError("the pixels end too early")
            state.update(part)
            left -= len(part)
        state.update(f"{name}_y {(count,)}".encode())
        state.update(np.ascontiguousarray(index["label"][start : start + count]).data)
        start += count
    return state.hexdigest()[:16]


def write_facts(data: PreparedData, index: np.ndarray) -> None:
    """Write the index of a data set to its folder, and then its facts.

    Raises:
        OSError: the folder cannot be written to.
    """
    stream = io.BytesIO()
    np.save(stream, index, allow_pickle=False)
    content = stream.getbuffer()
    with write_atomically(data.folder / INDEX) as file:
        file.write(content)
    facts = asdict(data)
    del facts["folder"]
    facts["index"] = hashlib.sha256(content).hexdigest()
    text = json.dumps(facts, sort_keys=True)
    sealed = {"facts": text, "checksum": hashlib.sha256(text.encode()).hexdigest()}
    with write_atomically(data.folder / FACTS) as file:
        file.write(json.dumps(sealed).encode())


def read_facts(folder: Path) -> PreparedData:
    """A prepared data set in a folder. The facts and the index are compared with their checksums,
    the files of images with their sizes.

    Raises:
        UserError: the folder is no prepared data set, or is damaged.
    """
    try:
        sealed = json.loads((folder / FACTS).read_text())
        text = sealed["facts"]
        intact = hashlib.sha256(text.encode()).hexdigest() == sealed["checksum"]
        facts = json.loads(text)
        with (folder / INDEX).open("rb") as stream:
            intact &= hashlib.file_digest(stream, "sha256").hexdigest() == facts.pop("index")
        data = PreparedData(folder=folder, **{name: _frozen(facts[name]) for name in facts})
        intact &= (folder / ENCODED).stat().st_size == data.encoded_bytes
        if is_small(data.decoded_bytes):
            intact &= data.has_pixels
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _cannot_load(folder, error) from error
    if not intact:
        raise _differs(folder)
    return data


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _cannot_load(folder: Path, error: Exception) -> UserError:
    return UserError(
        f"cannot load the prepared data '{folder}' ({type(error).__name__}); "
        "prepare makes them anew"
    )


def _differs(folder: Path) -> UserError:
    return UserError(
        f"the prepared data '{folder}' do not match their checksum; prepare makes them anew"
    )
