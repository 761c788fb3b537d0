"""The prepared data of a study: read once into one tensor file, loaded by every worker without
torchvision.

The file is `<cache>/<dataset>-<fingerprint of the source>.pt`. It is written atomically, so any
number of processes may start at once, and it carries the SHA-256 of its content, so damage is
noticed when it is loaded.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from pruning.user_error import UserError
from trainables.data import readers
from trainables.data.catalog import find_parquet_files, fingerprint_files
from trainables.data.data_set import DataSet, split_data
from trainables.storage.atomic_write import write_atomically

LAYOUT = 1  # of the prepared file and its splits: a change gives new file names


def prepare(
    dataset: str, *, data_dir: str | Path | None = None, cache: str | Path | None = None
) -> Path:
    """The path of the prepared file; made if it is not there, made again with a warning if it is
    damaged.

    The cache folder is `cache`, else $PRUNING_DATA_CACHE, else ~/.cache/pruning-studies.

    Raises:
        UserError: the source cannot be found, downloaded or read, or the cache cannot be written.
    """
    return _prepare_and_load(dataset, data_dir, _cache_folder(cache))[0]


def load_data_set(
    dataset: str, *, data_dir: str | Path | None = None, cache: str | Path | None = None
) -> DataSet:
    """The data set, prepared and loaded; a second call in the same process returns the very same
    tensors.

    Raises:
        UserError: as `prepare`.
    """
    folder = None if data_dir is None else str(Path(data_dir).absolute())
    return _load_once(dataset, folder, _cache_folder(cache))


def load_prepared(path: str | Path) -> DataSet:
    """A prepared file as tensors that are mapped from it, hence shared by all processes of a
    machine.

    Raises:
        UserError: the file is missing or damaged.
    """
    import torch

    try:
        data = DataSet(**torch.load(path, map_location="cpu", weights_only=True, mmap=True))
        intact = data.is_intact()
    except Exception as error:  # a damaged archive fails in zip, pickle, torch or in the fields
        raise UserError(
            f"cannot load the prepared data '{path}': {type(error).__name__}; "
            "prepare makes them anew"
        ) from error
    if not intact:
        raise UserError(
            f"the prepared data '{path}' do not match their checksum; prepare makes them anew"
        )
    return data


@lru_cache(maxsize=1)
def _load_once(dataset: str, data_dir: str | None, folder: Path) -> DataSet:
    return _prepare_and_load(dataset, data_dir, folder)[1]


def _cache_folder(cache: str | Path | None) -> Path:
    folder = cache or os.environ.get("PRUNING_DATA_CACHE") or "~/.cache/pruning-studies"
    return Path(folder).expanduser().absolute()


def _prepare_and_load(
    dataset: str, data_dir: str | Path | None, folder: Path
) -> tuple[Path, DataSet]:
    files = find_parquet_files(dataset, data_dir)
    path = folder / f"{dataset}-{LAYOUT}-{fingerprint_files(files)}.pt"
    if path.exists():
        try:
            return path, load_prepared(path)
        except UserError:
            pass  # checked again below, where no other process is repairing it
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_suffix(".lock")):
            if path.exists():
                try:
                    return path, load_prepared(path)
                except UserError as error:
                    warnings.warn(str(error), stacklevel=3)
            train, test = readers.read_images(dataset, files, downloads=folder / "torchvision")
            _write(split_data(dataset, train, test), path)
    except OSError as error:
        raise UserError(
            f"cannot write to the data cache '{folder}' ({error}); set PRUNING_DATA_CACHE"
        ) from error
    return path, load_prepared(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time, where the file system can lock; elsewhere several prepare, and the
    last one's file stays."""
    import fcntl

    with path.open("w") as stream:
        with suppress(OSError):
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _write(data: DataSet, path: Path) -> None:
    import torch

    try:
        with write_atomically(path) as stream:
            torch.save(data.plain_values(), stream)
    except RuntimeError as error:  # what torch's writer makes of a full disk
        raise OSError("the file cannot be written whole; is the disk full?") from error
