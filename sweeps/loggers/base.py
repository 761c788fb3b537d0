"""What a logger must offer: runs are begun, filled epoch by epoch, and ended."""

from typing import Any, Protocol

from sweeps.loggers.logged_numbers import EpochNumbers


class Logger(Protocol):
    """A tool outside this project that records runs: TensorBoard, MLflow, Weights & Biases.

    Its methods are called from one thread and may raise anything, after which `begin` is called
    again.

    name: as in `--log`. place: where the runs are, for people.
    """

    name: str
    place: str

    def begin(self, key: str, params: dict[str, str]) -> int:
        """Begin the run of a trial, or continue it; returns how many of its first epochs it holds
        already."""

    def log(self, key: str, epochs: list[EpochNumbers]) -> None:
        """Record epochs, in order."""

    def end(self, key: str, levels: list[dict[str, Any]], *, error: str) -> None:
        """End a run with the rows of the trial's levels, or with the error for which it was given
        up."""

    def interrupt(self, key: str) -> None:
        """Close a run that has not ended, because the launch has."""
