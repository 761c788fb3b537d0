"""What a trial has counted and recorded so far: saved in every checkpoint, written as tables at the
end."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from trainables.checkpoint_format import RecordsState
from trainables.provenance import utc_now


@dataclass
class TrialRecords:
    """The counts and records of one trial.

    level: that of the last prune. epochs, train_seconds: trained so far. train_macs:
    multiply-accumulates of the finished epochs, see `schema.py`; None where a checkpoint from
    before they were counted was continued. best_test: the best test top-1 of the training in
    progress, where the recipe asks for it. early_stop: iteration, loss, top1 and weights of its
    smallest validation loss, likewise. rows, curves, layers: what becomes the tables of these
    names. notes: sentences for the next row. memory: tensors that the method keeps from one prune
    to the next.
    """

    level: int = 0
    epochs: int = 0
    train_seconds: float = 0.0
    train_macs: int | None = 0
    best_test: float | None = None
    early_stop: dict[str, Any] | None = None
    started: str = field(default_factory=utc_now)
    rows: list[dict[str, Any]] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
    layers: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    memory: dict[str, Tensor] = field(default_factory=dict)

    def add_notes(self, notes: Iterable[str]) -> None:
        """Add sentences for the rows to come; one that is there already is not repeated."""
        self.notes += [note for note in dict.fromkeys(notes) if note not in self.notes]

    def state(self) -> RecordsState:
        """The records as a checkpoint holds them."""
        return {
            "level": self.level,
            "epochs": self.epochs,
            "train_seconds": self.train_seconds,
            "train_macs": self.train_macs,
            "best_test": self.best_test,
            "early_stop": self.early_stop,
            "started": self.started,
            "rows": self.rows,
            "curves": self.curves,
            "layers": self.layers,
            "notes": self.notes,
            "memory": self.memory,
        }

    def restore(self, saved: RecordsState) -> None:
        """Put back what `state` returned."""
        self.level, self.epochs = saved["level"], saved["epochs"]
        self.train_seconds, self.best_test = saved["train_seconds"], saved["best_test"]
        self.train_macs, self.early_stop = saved.get("train_macs"), saved.get("early_stop")
        self.started, self.notes, self.memory = saved["started"], saved["notes"], saved["memory"]
        self.rows, self.curves, self.layers = saved["rows"], saved["curves"], saved["layers"]
