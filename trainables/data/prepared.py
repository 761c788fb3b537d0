"""Prepare a data set once per machine, and open what is prepared.

It lies in `<cache>/<dataset>-<layout>-<fingerprint of the source>/`, see `prepared_data.py`. It is
made in a folder beside it and then renamed, so that one that is there is whole; any number of
processes may start at once, one of them prepares, and one that is killed is continued by the next.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np

from pruning.user_error import UserError
from trainables.data import readers
from trainables.data.catalog import file_name, find_files
from trainables.data.image_store import CHECKS, GATHERED, Gathered, decode, gather
from trainables.data.prepared_data import (
    PreparedData,
    content_digest,
    describe,
    is_digest_of_pixels,
    is_small,
    read_facts,
    write_facts,
)
from trainables.data.stored_images import ENCODED, INDEX, PIXELS

if TYPE_CHECKING:
    from trainables.data.data_set import DataSet

LAYOUT = 2  # of the prepared folder and its splits: a change gives new names


def prepare(
    dataset: str, *, data_dir: str | Path | None = None, cache: str | Path | None = None
) -> Path:
    """The folder of the prepared data set; made if it is not there, made again with a warning if it
    is damaged, as far as `PreparedData.check` and `check_encoded` see.

    The cache folder is `cache`, else $PRUNING_DATA_CACHE, else ~/.cache/pruning-studies.

    Raises:
        UserError: the source cannot be found, downloaded or read, or the cache cannot be written.
    """

    def check(data: PreparedData) -> None:
        data.check()
        data.check_encoded()

    return _prepare(dataset, data_dir, _cache_folder(cache), pixels=False, check=check).folder


def open_prepared(
    dataset: str,
    *,
    data_dir: str | Path | None = None,
    cache: str | Path | None = None,
    pixels: bool = False,
) -> PreparedData:
    """The prepared data set, made as by `prepare`; a second call in the same process returns the
    same. Nothing of the size of the images is read.

    Args:
        pixels: make sure that the decoded pixels are there. Without, they are for data sets of up
            to `KEPT_BYTES` decoded.

    Raises:
        UserError: as `prepare`.
    """
    folder = None if data_dir is None else str(Path(data_dir).absolute())
    return _open_once(dataset, folder, _cache_folder(cache), pixels)


def load_data_set(
    dataset: str, *, data_dir: str | Path | None = None, cache: str | Path | None = None
) -> DataSet:
    """The data set, prepared and loaded; a second call in the same process returns the very same
    tensors.

    Raises:
        UserError: as `prepare`; or the images differ in size.
    """
    folder = None if data_dir is None else str(Path(data_dir).absolute())
    return _load_once(dataset, folder, _cache_folder(cache))


def load_prepared(path: str | Path) -> DataSet:
    """A prepared data set as tensors that are mapped from its files, hence shared by all processes
    of a machine.

    Raises:
        UserError: the folder is missing or damaged, or the images differ in size.
    """
    data = read_facts(Path(path))
    data.check()
    return _map(data)


def _map(data: PreparedData) -> DataSet:
    from trainables.data.data_set import map_data_set

    return map_data_set(data)


@lru_cache(maxsize=1)
def _load_once(dataset: str, data_dir: str | None, folder: Path) -> DataSet:
    return _map(_prepare(dataset, data_dir, folder, pixels=True, check=PreparedData.check))


@lru_cache(maxsize=4)
def _open_once(dataset: str, data_dir: str | None, folder: Path, pixels: bool) -> PreparedData:
    return _prepare(dataset, data_dir, folder, pixels=pixels, check=lambda data: None)


def _cache_folder(cache: str | Path | None) -> Path:
    folder = cache or os.environ.get("PRUNING_DATA_CACHE") or "~/.cache/pruning-studies"
    try:
        return Path(folder).expanduser().absolute()
    except RuntimeError:  # neither HOME nor an entry of this user in the system's list
        raise UserError(
            f"the data cache '{folder}' needs a home folder, and there is none; "
            "set HOME or PRUNING_DATA_CACHE"
        ) from None


def _prepare(
    dataset: str,
    data_dir: str | Path | None,
    cache: Path,
    *,
    pixels: bool,
    check: Callable[[PreparedData], None],
) -> PreparedData:
    """The prepared data set. `pixels`: with them, however many. `check` raises UserError where what
    is there must be made again."""
    source = readers.FoundSource(dataset, find_files(dataset, data_dir))
    store = cache / f"{file_name(dataset)}-{LAYOUT}-{source.fingerprint}"

    def read() -> PreparedData:
        data = read_facts(store)
        check(data)
        return data

    if store.exists():
        with suppress(UserError):  # tried again below, where no other process is repairing it
            data = read()
            if data.has_pixels or not pixels:
                return data
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(store.with_name(f"{store.name}.lock")) as alone:
            if store.exists():
                try:
                    data = read()
                    return data if data.has_pixels or not pixels else _add_pixels(data)
                except UserError as error:
                    warnings.warn(str(error), stacklevel=4)
                    _remove(store)
            work = store.with_name(f"{store.name}.{'part' if alone else uuid4().hex}")
            return _write(source, store, work, downloads=cache / "torchvision", pixels=pixels)
    except OSError as error:
        raise UserError(
            f"cannot write to the data cache '{cache}' ({_reason(error)}); set PRUNING_DATA_CACHE"
        ) from error


def _write(
    found: readers.FoundSource, store: Path, work: Path, *, downloads: Path, pixels: bool
) -> PreparedData:
    """Prepare in the folder `work`, which may hold the beginning, and rename it."""
    try:
        source = found.open(downloads)
        work.mkdir(exist_ok=True)
        gathered = gather(source, work)
        keep = pixels or is_small(gathered.pixel_bytes)
        sums = decode(
            gathered,
            work,
            source.name,
            keep=keep,
            locate=lambda number: next(source.records(number)).where,
        )
        data = describe(
            gathered,
            sums,
            work,
            name=source.name,
            classes=source.classes,
            class_names=source.class_names,
        )
        data = replace(data, digest=_digest(data, gathered))
        for name in (GATHERED, CHECKS, "gather.json", "decode.json"):
            (work / name).unlink(missing_ok=True)
        write_facts(data, gathered.index)
    except (OSError, UserError):
        # What cannot be written or read whole leaves nothing behind; what is killed does.
        shutil.rmtree(work, ignore_errors=True)
        raise
    try:
        work.rename(store)
    except OSError:
        if not store.exists():
            raise
        shutil.rmtree(work, ignore_errors=True)  # another process was first, where none can lock
    for line in data.describe():
        print(line, file=sys.stderr, flush=True)
    return read_facts(store)


def _digest(data: PreparedData, gathered: Gathered) -> str:
    if not is_digest_of_pixels(data):
        return content_digest(data, gathered.index, None)
    with (data.folder / PIXELS).open("rb") as stream:
        return content_digest(data, gathered.index, stream)


def _add_pixels(data: PreparedData) -> PreparedData:
    """Decode a data set that was prepared without its pixels once more, to keep them."""
    work = data.folder.with_name(f"{data.folder.name}.pixels")
    try:
        work.mkdir(exist_ok=True)
        if not (work / ENCODED).exists():
            (work / ENCODED).symlink_to(data.folder / ENCODED)
        index = np.load(data.folder / INDEX, allow_pickle=False)
        again = Gathered(index.copy(), np.arange(len(index)), data.counts, data.channels, ())
        decode(
            again,
            work,
            data.name,
            keep=True,
            locate=lambda number: f"'{data.folder}', image {number}",
        )
        if not np.array_equal(again.index["pixels_check"], index["pixels_check"]):
            raise UserError(
                f"the prepared data '{data.folder}' do not match their checksum; delete that "
                "folder to prepare them anew"
            )
        (work / PIXELS).rename(data.folder / PIXELS)
    except (OSError, UserError):
        shutil.rmtree(work, ignore_errors=True)
        raise
    shutil.rmtree(work, ignore_errors=True)
    return data


def _remove(store: Path) -> None:
    """Take a damaged data set out of the way; other processes may still have its files open."""
    away = store.with_name(f"{store.name}.{uuid4().hex}")
    store.rename(away)
    shutil.rmtree(away) if away.is_dir() else away.unlink()


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{error.strerror}: the files cannot be written whole; is the disk full?"
    return str(error)


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """One process at a time, and then True, where the file system can lock; elsewhere several
    prepare, and the first one's folder stays."""
    import fcntl

    with path.open("w") as stream:
        alone = False
        with suppress(OSError):
            fcntl.flock(stream, fcntl.LOCK_EX)
            alone = True
        yield alone
