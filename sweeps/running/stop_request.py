"""The request to stop a running study: made by a signal, a lost study directory or a lost lease,
and obeyed by the run.

SIGTERM reaches three places: the command's is handled here, a worker's in
`trainables/ray_trainable.py`, and `clusters/spot_watcher.py` sends it to a node that is taken away.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import ClassVar

INTERRUPTED = "interrupted"  # the reason where the user asked for it


class StopRequest:
    """Whether and why this process is to stop. There is one for the whole process, as signals are.

    reason: "" while nothing asks the process to stop. running: ids of the trials that Tune is
    running now.
    """

    reason: ClassVar[str] = ""
    running: ClassVar[set[str]] = set()

    @classmethod
    def make(cls, reason: str) -> None:
        """Ask the running study to stop; the first reason stays."""
        cls.reason = cls.reason or reason

    @classmethod
    def take(cls) -> str:
        """The reason; it is forgotten with this call, so that the process can run a next study."""
        reason, cls.reason = cls.reason, ""
        return reason


@contextmanager
def stop_on_signals(say: Callable[[str], None]) -> Iterator[None]:
    """The first SIGINT or SIGTERM asks the study to stop; the second ends it at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        if StopRequest.reason:
            raise KeyboardInterrupt
        StopRequest.make(INTERRUPTED)
        say("stopping: running trials checkpoint; press Ctrl-C again to stop at once")

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
