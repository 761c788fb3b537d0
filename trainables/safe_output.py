"""Output that cannot be written does not stop a command: whoever read it has gone, its terminal was
closed, its disk is full. A study of days goes on without a reader.

Imports nothing but the standard library, and runs on a Python that is too old for all else.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

# A reader that has gone, a closed terminal, a closed descriptor: these never come back. A full disk
# may get room again, so what follows is tried anew.
_GONE = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO, errno.ESTALE)


class SafeStream:
    """A text stream whose `write` and `flush` never fail; all else is that of the stream.

    reason: why something could not be written, in words; "" while all could, and for a reader that
    has gone, who has seen what he wanted.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.reason = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text if that can be done."""
        try:
            self._stream.write(text)
        except (OSError, ValueError) as error:
            self._note(error)
        return len(text)

    def flush(self) -> None:
        """Flush what was written if that can be done."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._note(error)

    def finish(self) -> None:
        """Flush for the last time: what cannot be written now is dropped, so that nothing fails
        when the process ends."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._note(error)
            self._drop()

    def _note(self, error: OSError | ValueError) -> None:
        if isinstance(error, UnicodeError):
            raise error
        number = error.errno if isinstance(error, OSError) else errno.EBADF  # closed in Python
        if number != errno.EPIPE:
            self.reason = self.reason or os.strerror(number or errno.EIO)
        if number in _GONE:
            self._drop()

    def _drop(self) -> None:
        """Send all that follows nowhere, also what is still in the buffer and what others write to
        the same descriptor."""
        with suppress(OSError, ValueError, io.UnsupportedOperation):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextmanager
def safe_output() -> Iterator[None]:
    """While this lasts, nothing that is printed can fail; at its end stderr says why, where stdout
    could not be written."""
    open_closed_streams()
    before = sys.stdout, sys.stderr
    out, err = SafeStream(sys.stdout), SafeStream(sys.stderr)
    sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
    try:
        yield
    finally:
        out.finish()
        if out.reason:
            err.write(f"warning: not all output could be written ({out.reason})\n")
        err.finish()
        sys.stdout, sys.stderr = before


def open_closed_streams() -> None:
    """Open those of the standard streams that the process was started without: else the next file
    or socket gets their number, and what is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  until the process ends


def say_error(line: str) -> None:
    """One line on stderr, if it can be written."""
    with suppress(OSError, ValueError):
        print(f"error: {line}", file=sys.stderr, flush=True)
