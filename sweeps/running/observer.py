"""What observes a run and hears of every trial, besides the printed progress: the live view and the
loggers."""

from typing import Any, Protocol


class Observer(Protocol):
    """Its methods are called in the driver's main thread, so they return at once."""

    def started(self, key: str, spec: dict[str, Any]) -> None:
        """A trial starts, or starts again on another worker; `spec` is its `TrialSpec` as a plain
        dictionary."""

    def reported(self, key: str, result: dict[str, Any]) -> None:
        """A trial reports how far it is; see `RayTrial.step`."""

    def done(self, key: str, result: dict[str, Any]) -> None:
        """A trial is done: its rows are written."""

    def failed(self, key: str, error: str) -> None:
        """A trial is given up."""

    def interrupted(self, key: str) -> None:
        """A trial lost its worker or was stopped; it may start again, now or in a later launch."""
