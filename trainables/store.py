"""A study directory, local or in a bucket, behind four verbs: write, read, list, delete.

Paths are relative to the study directory and use `/`. `write` is atomic: a reader sees the whole file or none, which
is a rename on a disk and how object stores behave anyway.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4


def is_remote(uri: str) -> bool:
    """Whether a study directory is named by a URI such as `s3://bucket/path`."""
    return "://" in uri and not uri.startswith("file://")


@dataclass(frozen=True)
class Store:
    """The files below `uri`: a local path, or a URI that pyarrow.fs understands (`s3://`, `gs://`)."""

    uri: str

    @classmethod
    def at(cls, uri: str | Path) -> "Store":
        """A store at a local path (made absolute) or a URI."""
        text = str(uri)
        return cls(text if is_remote(text) else str(Path(text.removeprefix("file://")).expanduser().resolve()))

    def write(self, path: str, content: bytes) -> None:
        """Publish a file as a whole, replacing an older one."""
        if is_remote(self.uri):
            filesystem, root = self._remote()
            with filesystem.open_output_stream(f"{root}/{path}") as stream:
                stream.write(content)
            return
        target = self._local(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{uuid4().hex[:8]}.tmp")
        try:
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def read(self, path: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: there is none.
        """
        if not is_remote(self.uri):
            return self._local(path).read_bytes()
        filesystem, root = self._remote()
        with filesystem.open_input_file(f"{root}/{path}") as stream:
            return bytes(stream.read())

    def exists(self, path: str) -> bool:
        """Whether a file is there."""
        if not is_remote(self.uri):
            return self._local(path).is_file()
        from pyarrow.fs import FileType

        filesystem, root = self._remote()
        return bool(filesystem.get_file_info(f"{root}/{path}").type == FileType.File)

    def list(self, folder: str, suffix: str = "") -> list[str]:
        """Paths of all files below a folder that end in `suffix`, sorted; none if the folder is missing."""
        if is_remote(self.uri):
            from pyarrow.fs import FileSelector, FileType

            filesystem, root = self._remote()
            found = filesystem.get_file_info(FileSelector(f"{root}/{folder}", recursive=True, allow_not_found=True))
            paths = [info.path[len(root) + 1 :] for info in found if info.type == FileType.File]
        else:
            top = self._local(folder)
            paths = [
                f"{folder}/{os.path.relpath(os.path.join(where, name), top)}".replace(os.sep, "/")
                for where, _, names in os.walk(top)
                for name in names
                if not name.endswith(".tmp")
            ]
        return sorted(path for path in paths if path.endswith(suffix))

    def delete(self, path: str) -> None:
        """Remove a file or a folder with all below it; nothing happens if it is not there."""
        if is_remote(self.uri):
            from pyarrow.fs import FileType

            filesystem, root = self._remote()
            kind = filesystem.get_file_info(f"{root}/{path}").type
            if kind == FileType.Directory:
                filesystem.delete_dir(f"{root}/{path}")
            elif kind == FileType.File:
                filesystem.delete_file(f"{root}/{path}")
            return
        import shutil

        target = self._local(path)
        if target.is_dir():
            shutil.rmtree(target, ignore_errors=True)
        else:
            target.unlink(missing_ok=True)

    def _local(self, path: str) -> Path:
        return Path(self.uri, path)

    def _remote(self) -> tuple[Any, str]:
        from pyarrow.fs import FileSystem

        filesystem, root = FileSystem.from_uri(self.uri)
        return filesystem, root.rstrip("/")
