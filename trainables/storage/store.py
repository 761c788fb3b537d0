"""A study directory, local or in a bucket, behind few verbs: write, read, exists, list, delete.

Paths are relative to the study directory and use `/`; none leads out of it. `write` is atomic: a
reader sees the whole file or none. Errors that usually pass are retried with exponential backoff
(`retry.py`); what does not pass is a `StoreLost`.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from trainables.storage.bucket_uri import BucketUri, find_local_path, is_remote
from trainables.storage.local_disk import Disk, classify_os_error
from trainables.storage.object_store import Bucket, classify_bucket_error
from trainables.storage.retry import (
    StoreForbidden,
    StoreFull,
    StoreLost,
    StoreReadOnly,
    StoreUnreachable,
    retry_with_backoff,
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
PROBED = 4  # items done one by one before it is known whether they wait or compute

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


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
            UserError: the URI is of no known kind, holds credentials, or is written wrongly.
        """
        text = str(uri)
        if is_remote(text):
            BucketUri.parse(text)
            return cls(text)
        return cls(str(find_local_path(text).expanduser().resolve()))

    def below(self, folder: str) -> "Store":
        """The store of a folder of this one; a URI keeps its options."""
        _check(folder)
        if not is_remote(self.uri):
            return Store(str(Path(self.uri, folder)))
        where, mark, options = self.uri.partition("?")
        return Store(f"{where.rstrip('/')}/{quote(folder)}{mark}{options}")

    def place(self, path: str = "") -> str:
        """Where a file is, for people: a local path, or a URI without options."""
        top = str(BucketUri.parse(self.uri)) if is_remote(self.uri) else self.uri
        return f"{top.rstrip('/')}/{path}" if path else top

    def write(self, path: str, content: bytes) -> None:
        """Publish a file as a whole, replacing an older one."""
        _check(path)
        self._retry(lambda files: files.write(path, content))

    def find_loss(self, path: str) -> str:
        """Why the directory cannot be written to; empty where it can. `path`: of a file that is
        written and deleted."""
        try:
            self.write(path, b"")
            self.delete(path)
        except StoreLost as lost:
            return str(lost)
        return ""

    def read(self, path: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: there is none.
        """
        _check(path)
        return self._retry(lambda files: files.read(path))

    def exists(self, path: str) -> bool:
        """Whether a file is there."""
        _check(path)
        return self._retry(lambda files: files.exists(path))

    def delete(self, path: str) -> None:
        """Remove a file or a folder with all below it; nothing happens if it is not there."""
        _check(path)
        self._retry(lambda files: files.delete(path))

    def delete_abandoned_files(self) -> int:
        """Delete what killed writers left behind more than an hour ago; returns how many files."""
        return self._retry(lambda files: files.delete_abandoned_files())

    def list(self, folder: str, suffix: str = "") -> list[str]:
        """Paths of all files below a folder that end in `suffix`, sorted; none if the folder is
        missing. What macOS puts beside files on foreign disks (`._name`) is none of them."""
        if folder not in ("", "."):
            _check(folder)
        paths = self._retry(lambda files: files.list(folder))
        before = f"{folder}/" if folder else ""
        return sorted(
            f"{before}{path}"
            for path in paths
            if path.endswith(suffix) and not path.rpartition("/")[2].startswith("._")
        )

    def parallel_map(
        self, task: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> Sequence[_Result]:
        """The results of a task, such as to read and decode a file, for each item, in order.

        Where the first items show that it mostly waits, as for a bucket or a network drive, several
        threads share the rest. Threads that all compute only hold each other up.
        """
        remaining = list(items)
        began, computed = time.perf_counter(), time.thread_time()
        results = [task(item) for item in remaining[:PROBED]]
        computed, took = time.thread_time() - computed, time.perf_counter() - began
        remaining = remaining[PROBED:]
        if computed > took / 2:
            return [*results, *map(task, remaining)]
        with ThreadPoolExecutor(THREADS) as threads:
            return [*results, *threads.map(task, remaining)]

    def _retry(self, action: Callable[[Disk | Bucket], _Result]) -> _Result:
        if is_remote(self.uri):
            remote = Bucket(BucketUri.parse(self.uri))
            return retry_with_backoff(
                lambda: action(remote), self.place(), classify=classify_bucket_error
            )
        local = Disk(Path(self.uri))
        return retry_with_backoff(lambda: action(local), self.place(), classify=classify_os_error)


def _check(path: str) -> None:
    if (
        not path
        or "\\" in path
        or "\0" in path
        or any(part in ("", ".", "..") for part in path.split("/"))
    ):
        raise ValueError(
            "a path in a study directory must be relative, with no '.' or '..' in it, "
            f"but got '{path}'"
        )
