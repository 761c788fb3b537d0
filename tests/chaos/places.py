"""Where the study of a campaign lies, seen from outside the project: a folder, or a bucket past the
faulty proxy."""

import os
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol


class Place(Protocol):
    """A study directory as the harness sees it."""

    @property
    def uri(self) -> str:
        """What the project is given."""

    def files(self) -> dict[str, str]:
        """All whole files by path, each with a stamp that changes when it is replaced."""

    def unfinished(self) -> list[str]:
        """What writers that were killed left of files that never became whole."""

    def age(self) -> None:
        """Let what is unfinished look as if it had been so for hours."""

    def read(self, path: str) -> bytes:
        """The content of a file."""

    def overwrite(self, path: str, content: bytes) -> None:
        """Damage a file where it lies."""


@dataclass(frozen=True)
class Folder:
    """A study directory on a disk."""

    path: Path

    @property
    def uri(self) -> str:
        return str(self.path)

    def files(self) -> dict[str, str]:
        found = {}
        for path in self._walk():
            with suppress(FileNotFoundError):  # gone since it was listed
                if path.suffix != ".tmp":
                    status = path.stat()
                    found[path.relative_to(self.path).as_posix()] = (
                        f"{status.st_ino}:{status.st_mtime_ns}"
                    )
        return found

    def unfinished(self) -> list[str]:
        return [str(path.relative_to(self.path)) for path in self._walk() if path.suffix == ".tmp"]

    def age(self) -> None:
        for name in self.unfinished():
            before = time.time() - 7200
            os.utime(self.path / name, (before, before))

    def _walk(self) -> list[Path]:
        """All files; folders that vanish meanwhile are passed over."""
        return [Path(where, name) for where, _, names in os.walk(self.path) for name in names]

    def read(self, path: str) -> bytes:
        return (self.path / path).read_bytes()

    def overwrite(self, path: str, content: bytes) -> None:
        (self.path / path).write_bytes(content)


@dataclass(frozen=True)
class Bucket:
    """A study directory in a bucket of a local S3 server (`s3_server.S3`)."""

    s3: Any
    bucket: str
    prefix: str

    @property
    def uri(self) -> str:
        return str(self.s3.uri(f"{self.bucket}/{self.prefix}"))

    @cached_property
    def _client(self) -> Any:
        return self.s3.client()

    def files(self) -> dict[str, str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=f"{self.prefix}/"
        )
        listed = [
            item
            for page in pages
            for item in page.get("Contents", [])
            if not item["Key"].endswith("/")
        ]
        return {
            item["Key"][len(self.prefix) + 1 :]: f"{item['ETag']}:{item['LastModified']}"
            for item in listed
        }

    def unfinished(self) -> list[str]:
        return []  # uploads that were cut are no files; a lifecycle rule of the bucket ends them

    def age(self) -> None:
        """Nothing is unfinished."""

    def read(self, path: str) -> bytes:
        return bytes(
            self._client.get_object(Bucket=self.bucket, Key=f"{self.prefix}/{path}")["Body"].read()
        )

    def overwrite(self, path: str, content: bytes) -> None:
        self._client.put_object(Bucket=self.bucket, Key=f"{self.prefix}/{path}", Body=content)


def damage(content: bytes, *, how: float) -> tuple[bytes, str]:
    """A file as a dying disk leaves it, and that in words: cut off somewhere, or with one bit
    changed; `how` is 0..1."""
    moment = random.Random(how)
    at = moment.randrange(max(1, len(content)))
    if moment.random() < 0.5 or not content:
        return content[:at], f"cut off after {at:,} of {len(content):,} bytes"
    flipped = bytearray(content)
    flipped[at] ^= 1 << moment.randrange(8)
    return bytes(flipped), f"one bit flipped at byte {at:,} of {len(content):,}"
