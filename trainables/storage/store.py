"""A study directory, local or in a bucket, behind few verbs: write, read, exists, list, delete.

Paths are relative to the study directory and use `/`; none leads out of it. `write` is atomic: a
reader sees the whole file or none. Errors that usually pass are tried again with growing pauses;
what does not pass is a `StoreLost`.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from trainables.storage import local_disk, object_store
from trainables.storage.local_disk import Disk
from trainables.storage.object_store import Address, Bucket
from trainables.storage.retry import (
    StoreForbidden,
    StoreFull,
    StoreLost,
    StoreReadOnly,
    StoreUnreachable,
    persist,
)

__all__ = [
    "Store",
    "StoreForbidden",
    "StoreFull",
    "StoreLost",
    "StoreReadOnly",
    "StoreUnreachable",
    "is_remote",
]

THREADS = 32  # that wait at once
PROBED = 4  # files read one by one before it is known what takes the time

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def is_remote(uri: str) -> bool:
    """Whether a study directory is named by a URI such as `s3://bucket/path`."""
    return "://" in uri and not uri.startswith("file://")


@dataclass(frozen=True)
class Store:
    """The files below `uri`: a local path, or `s3://bucket/path` or `gs://bucket/path`, with
    options after a `?`.

    All verbs raise StoreLost where the study directory cannot be used any more, and ValueError for
    a path that is not a plain relative one. A store holds no connection: it can be pickled and used
    after a fork.
    """

    uri: str

    @classmethod
    def at(cls, uri: str | Path) -> "Store":
        """A store at a local path (made absolute) or a URI.

        Raises:
            ValueError: the URI is of no known kind, or holds credentials.
        """
        text = str(uri)
        if is_remote(text):
            Address.parse(text)
            return cls(text)
        return cls(str(Path(text.removeprefix("file://")).expanduser().resolve()))

    def below(self, folder: str) -> "Store":
        """The store of a folder of this one; a URI keeps its options."""
        _check(folder)
        if not is_remote(self.uri):
            return Store(str(Path(self.uri, folder)))
        where, mark, options = self.uri.partition("?")
        return Store(f"{where.rstrip('/')}/{quote(folder)}{mark}{options}")

    def place(self, path: str = "") -> str:
        """Where a file is, for people: a local path, or a URI without options."""
        top = str(Address.parse(self.uri)) if is_remote(self.uri) else self.uri
        return f"{top.rstrip('/')}/{path}" if path else top

    def write(self, path: str, content: bytes) -> None:
        """Publish a file as a whole, replacing an older one."""
        _check(path)
        self._persist(lambda side: side.write(path, content))

    def read(self, path: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: there is none.
        """
        _check(path)
        return self._persist(lambda side: side.read(path))

    def exists(self, path: str) -> bool:
        """Whether a file is there."""
        _check(path)
        return self._persist(lambda side: side.exists(path))

    def delete(self, path: str) -> None:
        """Remove a file or a folder with all below it; nothing happens if it is not there."""
        _check(path)
        self._persist(lambda side: side.delete(path))

    def sweep(self) -> int:
        """Remove what killed writers left behind more than an hour ago; returns how many files."""
        return self._persist(lambda side: side.sweep())

    def list(self, folder: str, suffix: str = "") -> list[str]:
        """Paths of all files below a folder that end in `suffix`, sorted; none if the folder is
        missing."""
        if folder not in ("", "."):
            _check(folder)
        found = self._persist(lambda side: side.files(folder))
        before = f"{folder}/" if folder else ""
        return sorted(f"{before}{path}" for path in found if path.endswith(suffix))

    def spread(self, task: Callable[[_Item], _Result], items: Iterable[_Item]) -> Sequence[_Result]:
        """The results of a task, such as to read and decode a file, for each item, in order.

        Where the first items show that it mostly waits, as for a bucket or a network drive, several
        threads share the rest. Threads that all compute only hold each other up.
        """
        rest = list(items)
        began, computed = time.perf_counter(), time.thread_time()
        found = [task(item) for item in rest[:PROBED]]
        computed, took = time.thread_time() - computed, time.perf_counter() - began
        rest = rest[PROBED:]
        if computed > took / 2:
            return [*found, *map(task, rest)]
        with ThreadPoolExecutor(THREADS) as threads:
            return [*found, *threads.map(task, rest)]

    def _persist(self, action: Callable[[Disk | Bucket], _Result]) -> _Result:
        if is_remote(self.uri):
            remote = Bucket(Address.parse(self.uri))
            return persist(lambda: action(remote), self.place(), judge=object_store.judge)
        local = Disk(Path(self.uri))
        return persist(lambda: action(local), self.place(), judge=local_disk.judge)


def _check(path: str) -> None:
    if (
        not path
        or "\\" in path
        or "\0" in path
        or any(part in ("", ".", "..") for part in path.split("/"))
    ):
        raise ValueError(
            f"a path in a study directory must be relative, with no '.' or '..' in it, but got '{path}'"
        )
