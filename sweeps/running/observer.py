"""What follows a run and is told of every trial, beside the lines of the progress: the live view,
the loggers."""

from typing import Any, Protocol


class Watcher(Protocol):
    """Hears of trials in the driver's main thread, so it answers at once; it never raises."""

    def started(self, key: str, spec: dict[str, Any]) -> None:
        """A trial begins, or begins again on another worker; `spec` is its `TrialSpec` as a plain
        dictionary."""

    def moved(self, key: str, result: dict[str, Any]) -> None:
        """A trial reports how far it is; see `RayTrial.step`."""

    def done(self, key: str, result: dict[str, Any]) -> None:
        """A trial is done: its rows are written."""

    def failed(self, key: str, error: str) -> None:
        """A trial is given up."""

    def left(self, key: str) -> None:
        """A trial lost its worker or was stopped; it may begin again, now or in a later launch."""
