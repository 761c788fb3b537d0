"""Write the files of a prepared data set: the encoded images in one, their pixels in another.

Two passes, each of which appends to its files, so that one that was killed continues. `gather`
copies the encoded images in the order of the source and reads their headers. `decode` decodes each
of them in the order of the index (training, validation, test), notices damage, sums up the pixels,
and keeps them where they are wanted. Neither holds more than a few images in memory. Imports no
torch.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from pruning.user_error import UserError
from trainables.data.appended_files import AppendedFiles
from trainables.data.image_decoding import decode_image, encode_array, read_header
from trainables.data.image_source import ImageSource, Record
from trainables.data.ordered_threads import map_in_order, usable_cores
from trainables.data.preparing_progress import PreparingProgress
from trainables.data.stored_images import ENCODED, ENTRY, PIXELS, checksum

GATHERED, CHECKS = "gathered.bin", "checks.bin"  # only while a data set is prepared
_RECORDS = 32  # handed to a thread at a time
_DECODED = 2**20  # bytes of pixels that a thread decodes at a time, if more than one image
_BLOCK = 2**16  # pixels that are summed up at a time
_EXACT = 256  # values whose squares, 255 * 255 at most, add up exactly in float32
_FIELDS = ("label", "height", "width", "start", "length", "encoded_check")
_ROW = np.dtype([*((name, ENTRY[name].str) for name in _FIELDS), ("kind", "u1")])
_COLOUR, _TRANSPARENT, _TURNED = 1, 2, 4  # bits of the kind


@dataclass(frozen=True)
class Gathered:
    """What is known once all headers are read.

    index: [N] of `ENTRY` in its order, without the checksums of the pixels. order: the numbers of
    its images in the source. counts: images of the splits for training, validation and test. notes:
    what is to be said.
    """

    index: np.ndarray
    order: np.ndarray
    counts: tuple[int, ...]
    channels: int
    notes: tuple[str, ...]

    @property
    def pixel_bytes(self) -> int:
        """Bytes of all images decoded."""
        return _pixel_bytes(self.index, self.channels)


def gather(source: ImageSource, folder: Path, *, shown: bool = True) -> Gathered:
    """Copy the encoded images of a source to a folder, and read their headers.

    Args:
        shown: say on stderr how far it is.

    Raises:
        UserError: a file cannot be read, is no image, or has too many bits; or there are too few.
        OSError: the folder cannot be written to.
    """
    splits = source.splits()
    with AppendedFiles(folder, "gather", (ENCODED, GATHERED)) as files:
        done = files.lengths[1] // _ROW.itemsize
        progress = PreparingProgress(f"reading '{source.name}'", len(splits), done, shown=shown)
        groups = _groups(source.records(done))
        for encoded, rows in map_in_order(_inspect, groups, threads=usable_cores()):
            rows["start"] = files.lengths[0] + np.cumsum(rows["length"]) - rows["length"]
            files.append(encoded, rows.tobytes())
            progress.add(len(rows))
    rows = np.fromfile(folder / GATHERED, dtype=_ROW)
    if len(rows) != len(splits):
        raise UserError(
            f"'{source.name}' changed while it was read: {len(rows)} images of {len(splits)}; "
            "begin again"
        )
    counts = tuple(np.bincount(splits, minlength=3).tolist())
    order = np.argsort(splits, kind="stable")
    return _assemble(rows[order], order, counts, source.notes)


def decode(
    gathered: Gathered,
    folder: Path,
    name: str,
    *,
    keep: bool,
    locate: Callable[[int], str],
    shown: bool = True,
) -> np.ndarray:
    """Decode all images once, and fill in the checksums of their pixels.

    Args:
        name: of the data set, for messages.
        locate: where the image of a number in the source lies, for messages.
        keep: also write the pixels to the folder.
        shown: say on stderr how far it is.

    Returns:
        Sums of the values and of their squares, int64 [2, 2, channels], for training images and for
        validation images.

    Raises:
        UserError: an image is damaged.
        OSError: the folder cannot be written to.
    """
    index = gathered.index
    zero = np.zeros((2, 2, gathered.channels), dtype=np.int64)
    names = (CHECKS, PIXELS) if keep else (CHECKS,)
    with (
        AppendedFiles(folder, "decode", names) as files,
        (folder / ENCODED).open("rb") as encoded,
    ):
        done = files.lengths[0] // 8
        sums = zero + np.array(files.state.get("sums", 0), dtype=np.int64)
        progress = PreparingProgress(f"decoding '{name}'", len(index), done, shown=shown)

        def decode_span(span: tuple[int, int]) -> tuple[bytes, bytes, np.ndarray]:
            return _decode_span(gathered, encoded.fileno(), span, keep=keep, locate=locate)

        spans = _spans(index, gathered.channels, done)
        for checks, pixels, added in map_in_order(decode_span, spans, threads=usable_cores()):
            sums += added
            files.append(checks, *((pixels,) if keep else ()), sums=sums.tolist())
            progress.add(len(checks) // 8)
    index["pixels_check"] = np.fromfile(folder / CHECKS, dtype="<u8")
    return sums


def _groups(records: Iterator[Record]) -> Iterator[list[Record]]:
    while group := list(islice(records, _RECORDS)):
        yield group


def _inspect(group: list[Record]) -> tuple[bytes, np.ndarray]:
    """The encoded images of some records, one after the other, and their rows without `start`."""
    rows, contents = np.zeros(len(group), dtype=_ROW), []
    for row, record in zip(rows, group, strict=True):
        content = record.read()
        encoded = encode_array(content) if isinstance(content, np.ndarray) else content
        header = read_header(encoded, record.where)
        assert encoded is not None  # `read_header` refuses it
        kind = _COLOUR * (not header.grey) + _TRANSPARENT * header.transparent
        row["label"], row["height"], row["width"] = record.label, header.height, header.width
        row["length"], row["encoded_check"] = len(encoded), checksum(encoded)
        row["kind"] = kind + _TURNED * header.turned
        contents.append(encoded)
    return b"".join(contents), rows


def _assemble(
    rows: np.ndarray, order: np.ndarray, counts: tuple[int, ...], notes: Sequence[str]
) -> Gathered:
    index = np.zeros(len(rows), dtype=ENTRY)
    for name in _FIELDS:
        index[name] = rows[name]
    # Grey only where all are grey: a colour data set may hold grey images, in any place.
    channels = 3 if (rows["kind"] & _COLOUR).any() else 1
    sizes = index["height"].astype(np.int64) * index["width"] * channels
    index["pixels"] = np.cumsum(sizes) - sizes
    said = list(notes)
    for bit, what in (
        (_TRANSPARENT, "have transparent pixels and are composed on white"),
        (_TURNED, "are turned as their EXIF data say"),
    ):
        if count := int(((rows["kind"] & bit) != 0).sum()):
            said.append(f"{count:,} of {len(rows):,} images {what}")
    return Gathered(index, order, counts, channels, tuple(said))


def _pixel_bytes(entries: np.ndarray, channels: int) -> int:
    return int((entries["height"].astype(np.int64) * entries["width"]).sum()) * channels


def _spans(index: np.ndarray, channels: int, start: int) -> Iterator[tuple[int, int]]:
    """Ranges of the index from `start` on that take about `_DECODED` bytes decoded each."""
    ends = index["pixels"] + index["height"].astype(np.int64) * index["width"] * channels
    while start < len(index):
        limit = index["pixels"][start] + _DECODED
        stop = max(start + 1, int(np.searchsorted(ends, limit, side="right")))
        yield start, stop
        start = stop


def _decode_span(
    gathered: Gathered,
    file: int,
    span: tuple[int, int],
    *,
    keep: bool,
    locate: Callable[[int], str],
) -> tuple[bytes, bytes, np.ndarray]:
    """Checksums, pixels (empty unless kept) and sums of a range of the index."""
    checks, pictures = np.zeros(span[1] - span[0], dtype="<u8"), []
    for place, number in enumerate(range(*span)):
        entry = gathered.index[number]
        content = os.pread(file, int(entry["length"]), int(entry["start"]))
        try:
            picture = decode_image(content, "")
        except UserError:  # once more, to say where it lies
            picture = decode_image(content, locate(int(gathered.order[number])))
        if picture.ndim == 2:
            picture = np.repeat(picture[..., None], gathered.channels, axis=2)
        flat = picture.reshape(-1, gathered.channels)
        checks[place] = checksum(flat.data)
        pictures.append(flat)
    training = max(0, gathered.counts[0] - span[0])
    counted = max(0, sum(gathered.counts[:2]) - span[0])
    parts = (pictures[:training], pictures[training:counted])
    sums = np.stack([_sum_up(part, gathered.channels) for part in parts])
    return checks.tobytes(), b"".join(flat.data for flat in pictures) if keep else b"", sums


def _sum_up(pictures: list[np.ndarray], channels: int) -> np.ndarray:
    """Sums of values and of squares per channel, exact: int64 [2, channels]."""
    sums = np.zeros((2, channels), dtype=np.int64)
    flat = np.concatenate(pictures) if len(pictures) > 1 else pictures[0] if pictures else sums[:0]
    for start in range(0, len(flat), _BLOCK):
        # Channels first, and few enough values at a time for exact sums in float32: half
        # of the time that it takes in float64.
        block = np.ascontiguousarray(flat[start : start + _BLOCK].T).astype(np.float32)
        whole = block.shape[1] // _EXACT * _EXACT
        for part in (block[:, :whole].reshape(channels, -1, _EXACT), block[:, None, whole:]):
            squares = np.einsum("ijk,ijk->ij", part, part)
            for total, values in zip(sums, (part.sum(axis=2), squares), strict=True):
                total += values.astype(np.int64).sum(axis=1)
    return sums
