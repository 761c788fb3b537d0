"""The wish to stop a running study: asked for by a signal, a lost study directory or a lost lease;
heard by the run."""

from typing import ClassVar

INTERRUPTED = "interrupted"


class Stop:
    """Why this process has been asked to stop; "" while it has not. Class state: Tune copies the
    objects it is given.

    running: ids of the trials that Tune is running now.
    """

    reason: ClassVar[str] = ""
    running: ClassVar[set[str]] = set()

    @classmethod
    def ask(cls, reason: str) -> None:
        """Ask the running study to stop; the first reason stays."""
        cls.reason = cls.reason or reason
