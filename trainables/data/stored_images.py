"""The images of one split of a prepared data set, read from its files one at a time.

Encoded images are read with `pread`, not mapped: they are copied to be decoded anyway, pages of
the file then count for no process, and a file that lost its end is an error and no crash. Decoded
ones are views of a mapped file, which all processes of a machine share.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pruning.user_error import UserError
from trainables.data.image_decoding import decode_image

if TYPE_CHECKING:
    from torch import Tensor

INDEX, ENCODED, PIXELS = "index.npy", "encoded.bin", "pixels.bin"  # files of a prepared data set
# An image in the index. start, length: of its encoded bytes; pixels: where its decoded ones begin,
# [H, W, C] without gaps; the checks are of the encoded bytes and of the decoded ones.
ENTRY = np.dtype(
    [
        ("label", "<i8"),
        ("height", "<i4"),
        ("width", "<i4"),
        ("start", "<i8"),
        ("length", "<i8"),
        ("pixels", "<i8"),
        ("encoded_check", "<u8"),
        ("pixels_check", "<u8"),
    ]
)


def checksum(content: Any) -> int:
    """The first 8 bytes of the SHA-256 of some bytes, as a number."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little")


class StoredImages:
    """One split of a prepared data set. Opened when first used, also in another process after
    pickling; holds open files and no images.

    Every image is compared with its checksum: an encoded one at each reading, a decoded one at the
    first in a process.
    """

    def __init__(
        self, folder: Path, start: int, stop: int, *, encoded: bool, channels: int
    ) -> None:
        """Images `start` to `stop` of the index in `folder`.

        Args:
            encoded: decode each image on the way; otherwise they lie decoded.
            channels: 1 or 3, of all images.
        """
        self.folder, self.start, self.stop = folder, start, stop
        self.encoded, self.channels = encoded, channels
        self._reset()

    def _reset(self) -> None:
        self._entries: np.ndarray | None = None
        self._labels: Tensor | None = None
        self._file: int | None = None
        self._pixels: Tensor | None = None
        self._checked: np.ndarray | None = None

    def __len__(self) -> int:
        return self.stop - self.start

    def __getstate__(self) -> dict[str, Any]:
        """Without what is open."""
        names = ("folder", "start", "stop", "encoded", "channels")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def __del__(self) -> None:
        if (file := getattr(self, "_file", None)) is not None:
            os.close(file)

    @property
    def index(self) -> np.ndarray:
        """The entries of the images, [N] of `ENTRY`, mapped."""
        if self._entries is None:
            entries = np.load(self.folder / INDEX, mmap_mode="r", allow_pickle=False)
            self._entries = entries[self.start : self.stop]
        return self._entries

    @property
    def labels(self) -> Tensor:
        """int64 [N]."""
        import torch

        if self._labels is None:
            self._labels = torch.from_numpy(self.index["label"].astype(np.int64))
        return self._labels

    def size(self, index: int) -> tuple[int, int]:
        """Height and width of an image, after its EXIF rotation.

        Raises:
            IndexError: there is no such image.
        """
        entry = self._entry(index)
        return int(entry["height"]), int(entry["width"])

    def pixels(self, index: int) -> Tensor:
        """An image, uint8 [C, H, W], whose memory lies as [H, W, C]. A decoded one is a view of the
        file, not to be written to.

        Raises:
            IndexError: there is no such image.
            UserError: the file is damaged.
        """
        entry = self._entry(index)
        picture = self._decode(index, entry) if self.encoded else self._view(index, entry)
        return picture.permute(2, 0, 1)

    def encoded_bytes(self, index: int) -> bytes:
        """The file of an image as it was given.

        Raises:
            IndexError: there is no such image.
            UserError: the file is damaged.
        """
        entry = self._entry(index)
        if self._file is None:
            self._file = os.open(self.folder / ENCODED, os.O_RDONLY)
        content = os.pread(self._file, int(entry["length"]), int(entry["start"]))
        if checksum(content) != entry["encoded_check"]:
            raise self._damaged(index)
        return content

    def _entry(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        return self.index[index]

    def _decode(self, index: int, entry: Any) -> Tensor:
        import torch

        picture = decode_image(self.encoded_bytes(index), f"'{self.folder}', image {index}")
        if picture.ndim == 2:
            picture = np.repeat(picture[..., None], self.channels, axis=2)
        if picture.shape[:2] != (entry["height"], entry["width"]):
            raise self._damaged(index)
        return torch.from_numpy(picture if picture.flags.writeable else picture.copy())

    def _view(self, index: int, entry: Any) -> Tensor:
        if self._pixels is None or self._checked is None:
            self._pixels = map_pixels(self.folder)
            self._checked = np.zeros(len(self), dtype=bool)
        shape = (int(entry["height"]), int(entry["width"]), self.channels)
        start = int(entry["pixels"])
        flat = self._pixels[start : start + shape[0] * shape[1] * shape[2]]
        if not self._checked[index]:
            if checksum(flat.numpy().data) != entry["pixels_check"]:
                raise self._damaged(index)
            self._checked[index] = True
        return flat.view(shape)

    def _damaged(self, index: int) -> UserError:
        return UserError(
            f"the prepared data '{self.folder}' do not match their checksum at image "
            f"{self.start + index}; delete that folder to prepare them anew"
        )


def map_pixels(folder: Path) -> Tensor:
    """All decoded pixels of a prepared data set, uint8 [bytes], mapped from their file."""
    import torch

    path = folder / PIXELS
    # shared=False maps the file so that a write would stay in the process.
    return torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8)
