"""The images of a study: prepared once into one tensor file, loaded by every worker without
torchvision.

The file is `<cache>/<dataset>-<fingerprint of the source>.pt`. It appears by a rename, so any
number of processes may start at once, and it carries the SHA-256 of its content, so damage is found
when it is loaded.
"""

import hashlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from pruning.user_error import UserError
from trainables.data import readers
from trainables.data.readers import DATASETS, check_name

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["DATASETS", "Data", "UserError", "check", "check_name", "load", "obtain", "prepare"]

LAYOUT = 1  # of the prepared file and its splits: a change gives new file names
CHUNK = (
    256  # images whose squares, 255 * 255 at most, add up exactly in float32: 2**24 / 255**2 = 258
)


@dataclass(frozen=True, eq=False)
class Data:
    """A data set in memory. Images are contiguous uint8 [N, H, W, C], labels int64 [N].

    `image` is (C, H, W). `mean` and `std` are per channel of the training split, in 0..1. `digest`
    is the first 16 hex digits of the SHA-256 of what was prepared.
    """

    name: str
    classes: int
    image: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train_x: "Tensor"
    train_y: "Tensor"
    val_x: "Tensor"
    val_y: "Tensor"
    test_x: "Tensor"
    test_y: "Tensor"
    digest: str

    def to(self, device: "torch.device | str") -> "Data":
        """The same data on a device."""
        tensors = {name: tensor.to(device) for name, tensor in self._tensors().items()}
        return replace(self, **tensors)  # type: ignore[arg-type]

    def joined(self) -> "Data":
        """The data with the validation images in the training split, for studies that hold none
        out.

        Mean and std are those of the larger training split; the digest stays that of the prepared
        data.
        """
        import torch

        train_x = torch.cat([self.train_x, self.val_x])
        train_y = torch.cat([self.train_y, self.val_y])
        mean, std = _statistics(train_x)
        return replace(
            self,
            mean=mean,
            std=std,
            train_x=train_x,
            train_y=train_y,
            val_x=self.val_x[:0],
            val_y=self.val_y[:0],
        )

    def _tensors(self) -> "dict[str, Tensor]":
        return {
            f.name: getattr(self, f.name) for f in fields(self) if f.name.endswith(("_x", "_y"))
        }


def check(dataset: str, data_dir: str | Path | None = None) -> None:
    """Whether a data set can be had, as far as names and folders tell; imports no torch and reads
    no file.

    Raises:
        UserError: an unknown name without `data_dir`, or a `data_dir` that is missing or lacks a
            split.
    """
    readers.find(dataset, data_dir)


def prepare(
    dataset: str, *, data_dir: str | Path | None = None, cache: str | Path | None = None
) -> Path:
    """The path of the prepared file; made if it is not there, made anew with a warning if it is
    damaged.

    The cache folder is `cache`, else $PRUNING_DATA_CACHE, else ~/.cache/pruning-studies.

    Raises:
        UserError: the source cannot be found, downloaded or read, or the cache cannot be written.
    """
    return _ready(dataset, data_dir, _cache_folder(cache))[0]


def load(path: str | Path) -> Data:
    """A prepared file as tensors that are mapped from it, hence shared by all processes of a
    machine.

    Raises:
        UserError: the file is missing or damaged.
    """
    import torch

    try:
        data = Data(**torch.load(path, map_location="cpu", weights_only=True, mmap=True))
        kinds = {name: "uint8" if name.endswith("_x") else "int64" for name in data._tensors()}
        intact = all(
            str(tensor.dtype) == f"torch.{kinds[name]}" for name, tensor in data._tensors().items()
        )
        intact = intact and _digest(data) == data.digest
    except Exception as error:  # a damaged archive fails in zip, pickle, torch or in the fields
        raise UserError(
            f"cannot load the prepared data '{path}': {type(error).__name__}; prepare makes them anew"
        ) from error
    if not intact:
        raise UserError(
            f"the prepared data '{path}' do not match their checksum; prepare makes them anew"
        )
    return data


def obtain(
    dataset: str, *, data_dir: str | Path | None = None, cache: str | Path | None = None
) -> Data:
    """The data set, prepared and loaded; asked for again in the same process, the very same
    tensors.

    Raises:
        UserError: as `prepare`.
    """
    return _obtain(
        dataset, None if data_dir is None else str(Path(data_dir).absolute()), _cache_folder(cache)
    )


@lru_cache(maxsize=1)
def _obtain(dataset: str, data_dir: str | None, folder: Path) -> Data:
    return _ready(dataset, data_dir, folder)[1]


def _cache_folder(cache: str | Path | None) -> Path:
    return (
        Path(cache or os.environ.get("PRUNING_DATA_CACHE") or "~/.cache/pruning-studies")
        .expanduser()
        .absolute()
    )


def _ready(dataset: str, data_dir: str | Path | None, folder: Path) -> tuple[Path, Data]:
    shards = readers.find(dataset, data_dir)
    path = folder / f"{dataset}-{LAYOUT}-{readers.fingerprint(shards)}.pt"
    if path.exists():
        try:
            return path, load(path)
        except UserError:
            pass  # judged again below, where no other process is repairing it
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_suffix(".lock")):
            if path.exists():
                try:
                    return path, load(path)
                except UserError as error:
                    warnings.warn(str(error), stacklevel=3)
            train, test = readers.read(dataset, shards, downloads=folder / "torchvision")
            _publish(_split(dataset, train, test), path)
    except OSError as error:
        raise UserError(
            f"cannot write to the data cache '{folder}' ({error}); set PRUNING_DATA_CACHE"
        ) from error
    return path, load(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time, where the file system can lock; elsewhere several prepare, and the
    last rename stays."""
    import fcntl

    with path.open("w") as stream:
        with suppress(OSError):
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _publish(data: Data, path: Path) -> None:
    import torch

    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as stream:
            torch.save({f.name: getattr(data, f.name) for f in fields(data)}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except RuntimeError as error:  # what torch's writer makes of a full disk
        raise OSError("the file cannot be written whole; is the disk full?") from error
    finally:
        temporary.unlink(missing_ok=True)


def _split(dataset: str, train: readers.Images, test: readers.Images) -> Data:
    """The data with a tenth of the training images, at least one, held out for validation."""
    import torch

    if len(train.x) < 2:
        raise UserError(
            f"the training split needs at least 2 images, but '{dataset}' has {len(train.x)}"
        )
    held_out = readers.choose(len(train.x), max(1, len(train.x) // 10))
    train_x = torch.from_numpy(train.x[~held_out])
    mean, std = _statistics(train_x)
    _, height, width, channels = train.x.shape
    data = Data(
        name=dataset,
        classes=DATASETS.get(dataset, 1 + int(max(train.y.max(), test.y.max()))),
        image=(channels, height, width),
        mean=mean,
        std=std,
        train_x=train_x,
        train_y=torch.from_numpy(train.y[~held_out]),
        val_x=torch.from_numpy(train.x[held_out]),
        val_y=torch.from_numpy(train.y[held_out]),
        test_x=torch.from_numpy(test.x),
        test_y=torch.from_numpy(test.y),
        digest="",
    )
    return replace(data, digest=_digest(data))


def _statistics(x: "Tensor") -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std per channel of uint8 [N, H, W, C], in 0..1; the std of a constant channel is
    given as 1."""
    import torch

    total = torch.zeros(x[0].numel(), dtype=torch.float64)
    squares = torch.zeros_like(total)
    for part in x.cpu().split(CHUNK):
        pixels = part.reshape(len(part), -1).float()
        total += pixels.sum(0)
        squares += pixels.square_().sum(0)
    total, squares = (sums.view(-1, x.shape[-1]).sum(0) for sums in (total, squares))
    count = x.numel() // x.shape[-1]
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(0).sqrt()
    std[std == 0] = 255
    return tuple((mean / 255).tolist()), tuple((std / 255).tolist())


def _digest(data: Data) -> str:
    state = hashlib.sha256(
        repr((data.name, data.classes, data.image, data.mean, data.std)).encode()
    )
    for name, tensor in data._tensors().items():
        state.update(f"{name} {tuple(tensor.shape)}".encode())
        state.update(tensor.numpy().data)
    return state.hexdigest()[:16]
