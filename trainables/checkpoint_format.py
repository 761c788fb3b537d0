"""What a checkpoint of a trial holds: nested dictionaries of tensors and plain values.

The keys are a stored format. Checkpoints written before must be continued, so a key stays even
where the class behind it has another name today: "course" is the state of the `PhaseRunner`,
"paused" that of the epoch in progress, "keeps" the lists of channels that stayed.
"""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from torch import Tensor

FORMAT = 3  # a checkpoint of another format is passed over; raise it when a key changes


class RecordsState(TypedDict):
    """What a trial has recorded so far: a `TrialRecords`. train_macs, early_stop: not there in
    checkpoints that were written before there were such."""

    level: int
    epochs: int
    train_seconds: float
    train_macs: NotRequired[int | None]
    best_test: float | None
    early_stop: NotRequired[dict[str, Any] | None]
    started: str
    rows: list[dict[str, Any]]
    curves: list[dict[str, Any]]
    layers: list[dict[str, Any]]
    notes: list[str]
    memory: dict[str, Tensor]


class NetworkState(TypedDict):
    """Weights, masks and optimiser: a `Network`.

    keeps: for each time channels were removed, which ones stayed. optimizer: None where no training
    is in progress. average: of the weights, None where the training in progress has none; not there
    in checkpoints that were written before there were averages.
    """

    model: dict[str, Any]
    masks: dict[str, Tensor]
    keeps: list[dict[str, Tensor]]
    optimizer: dict[str, Any] | None
    average: NotRequired[dict[str, Tensor] | None]
    scaler: dict[str, Any]
    precision: Any
    compiled: bool


class RunnerState(RecordsState):
    """Where a `PhaseRunner` stands. paused: the state of the `Epoch` in progress, else None; with
    `stream` and `recipe_epoch`, which older checkpoints lack (see `EpochRunner`)."""

    paused: dict[str, Any] | None
    network: NetworkState


class TrialState(TypedDict):
    """A whole checkpoint. step: number of finished steps. seconds: spent in workers so far. ranks:
    that wrote it, 1 where it is not there."""

    format: int
    step: int
    attempts: int
    seconds: float
    ranks: NotRequired[int]
    course: RunnerState


def is_current_format(saved: Mapping[str, Any]) -> bool:
    """Whether this version of the project can continue from a checkpoint."""
    return saved.get("format") == FORMAT
