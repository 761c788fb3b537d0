"""Files that a pass over many images only appends to, so that a pass that was killed continues
where it was noted last."""

import json
import os
from pathlib import Path
from typing import Any

from trainables.storage.atomic_write import write_atomically

# How often it is noted how far a pass is, in bytes written: what a killed one does again at most.
NOTED_BYTES = 2**26


class AppendedFiles:
    """Some files of one pass, and its state: plain values that belong to what is in them."""

    def __init__(self, folder: Path, name: str, files: tuple[str, ...]) -> None:
        """Open the files and cut them to what was noted last.

        Args:
            name: of the pass; `<name>.json` holds its notes.

        Raises:
            OSError: a file cannot be written.
        """
        self._note = folder / f"{name}.json"
        self._streams = [(folder / file).open("ab") for file in files]
        self.lengths, self.state = [0] * len(files), dict[str, Any]()
        self._unnoted = 0
        try:
            noted = json.loads(self._note.read_text())
            lengths = [int(noted["lengths"][file]) for file in files]
            if all(self._size(i) >= length for i, length in enumerate(lengths)):
                self.lengths, self.state = lengths, noted["state"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass  # nothing was noted, or the note is damaged: begin again
        for stream, length in zip(self._streams, self.lengths, strict=True):
            stream.truncate(length)
        self._files = files

    def _size(self, number: int) -> int:
        return os.fstat(self._streams[number].fileno()).st_size

    def append(self, *parts: bytes, **state: Any) -> None:
        """Append to each file, with the state from then on.

        Raises:
            OSError: a file cannot be written.
        """
        for number, (stream, part) in enumerate(zip(self._streams, parts, strict=True)):
            stream.write(part)
            self.lengths[number] += len(part)
            self._unnoted += len(part)
        self.state = state
        if self._unnoted >= NOTED_BYTES:
            self.note()

    def note(self) -> None:
        """Note how far the pass is, once that lies on the disk.

        Raises:
            OSError: a file cannot be written.
        """
        for stream in self._streams:
            stream.flush()
            os.fsync(stream.fileno())
        lengths = dict(zip(self._files, self.lengths, strict=True))
        with write_atomically(self._note) as note:
            note.write(json.dumps({"lengths": lengths, "state": self.state}).encode())
        self._unnoted = 0

    def __enter__(self) -> "AppendedFiles":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.note()
        finally:
            for stream in self._streams:
                stream.close()
