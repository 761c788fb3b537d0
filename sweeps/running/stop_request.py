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

from pruning.user_error import UserError

INTERRUPTED = "interrupted"  # the reason where the user asked for it


class StopRequest:
    """Whether and why this process is to stop. There is one for the whole process, as signals are.

    reason: "" while nothing asks the process to stop. user_error: whether the reason is one that
    the user must put right before the command can go on. running: ids of the trials that Tune is
    running now.
    """

    reason: ClassVar[str] = ""
    user_error: ClassVar[bool] = False
    running: ClassVar[set[str]] = set()

    @classmethod
    def make(cls, reason: str, *, user_error: bool = False) -> None:
        """Ask the running study to stop; the first reason stays."""
        if not cls.reason:
            cls.reason, cls.user_error = reason, user_error

    @classmethod
    def take(cls) -> str:
        """The reason; it is forgotten with this call, so that the process can run a next study.

        Raises:
            UserError: the reason is one for the user to put right.
        """
        reason, user_error = cls.reason, cls.user_error
        cls.reason, cls.user_error = "", False
        if user_error:
            raise UserError(reason)
        return reason


SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def stop_on_signals(say: Callable[[str], None]) -> Iterator[None]:
    """The first SIGINT, SIGTERM or SIGHUP (a closed terminal) asks the study to stop; the second
    ends it at once. SIGHUP that is ignored, as under nohup, stays so."""

    def handle(number: int, frame: FrameType | None) -> None:
        if StopRequest.reason:
            raise KeyboardInterrupt
        StopRequest.make(INTERRUPTED)
        say("stopping: running trials checkpoint; press Ctrl-C again to stop at once")

    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    previous = {
        number: signal.signal(number, handle)
        for number in numbers
        if number == signal.SIGTERM or signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
