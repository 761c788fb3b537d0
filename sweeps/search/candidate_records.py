"""The record of each configuration that a search tries: a small file in the study directory,
written as it happens.

`candidates/<s0.900>/<0007>.json`. A search that was killed is continued from these files alone.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from pruning.user_error import UserError, printable
from sweeps.running.progress import duration
from sweeps.search.dimension import Configuration
from sweeps.search.search_space import format_configuration
from trainables.storage import layout, parquet_tables
from trainables.storage.store import Store

Outcome = Literal["scored", "running", "done", "stopped", "disconnected", "too costly", "failed"]


@dataclass(frozen=True)
class Candidate:
    """One configuration at one sparsity, and what is known of it. The names of the fields are those
    in its file.

    number: counted from 0 at its sparsity. key: of its trial. outcome: scored (by the cheap score,
    not begun), running (begun and not ended), done (trained and measured), stopped (ended early by
    the strategy), disconnected or too costly (as the early check found, and not trained), failed.
    values: validation top-1 in percent after each epoch. val_top1, effective_macs,
    sparsity_reached: of what was measured in the end; effective_macs also of what was too costly.
    epochs, seconds: spent in workers. score: the cheap one. ended: its place in the order of ends.
    parent, cloned_at: the candidate whose training it continues, and from which epoch on. changes:
    of its recipe, as `Recipe.changes`, so that the training from scratch that it equals is known.
    images: of the validation set, so that an interval can be given.
    """

    sparsity: float
    number: int
    key: str
    configuration: Configuration
    outcome: Outcome = "running"
    values: list[float] = field(default_factory=list)
    val_top1: float | None = None
    effective_macs: float | None = None
    sparsity_reached: float | None = None
    emptied_layers: str = ""
    epochs: int = 0
    seconds: float = 0.0
    score: float | None = None
    ended: int | None = None
    error: str = ""
    parent: int | None = None
    cloned_at: int | None = None
    images: int | None = None
    changes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Its file, relative to the study directory."""
        return layout.candidate_file(self.sparsity, self.number)

    @property
    def open(self) -> bool:
        """Whether it has still to be run, or run on."""
        return self.outcome in ("scored", "running")

    def write(self, store: Store) -> None:
        """Write its file into the study directory."""
        store.write(self.path, json.dumps(asdict(self), indent=1).encode())

    @property
    def description(self) -> str:
        """Its configuration, and what changed within its training."""
        return "; ".join(format_configuration(part) for part in [self.configuration, *self.changes])

    def describe(self) -> str:
        """What became of it, in one line."""
        reached = f" at {self.values[-1]:.2f} %" if self.values else ""
        emptied = len(self.emptied_layers.split(", ")) if self.emptied_layers else 0
        macs = f"{self.effective_macs or 0:,.0f} effective MACs"
        outcome = {
            "scored": "being scored" if self.score is None else f"scored {self.score:.4g}",
            "running": f"{self.epochs} epochs so far",
            "done": f"{self.val_top1 or 0:.2f} %",
            "stopped": f"stopped after {self.epochs} epochs{reached}",
            "disconnected": f"disconnected, not trained ({emptied or 'no'} layers empty)",
            "too costly": f"too costly, not trained ({macs})",
            "failed": f"FAILED: {self.error}",
        }[self.outcome]
        where = f"{self.sparsity:g} #{self.number} ({self.description})"
        return f"{where}  {outcome}  {duration(self.seconds)}"

    def with_row(self, row: dict[str, Any]) -> "Candidate":
        """The candidate after its trial was measured: the last of its rows."""
        return replace(
            self,
            outcome="done",
            val_top1=row["val_top1"],
            effective_macs=row["effective_macs"],
            sparsity_reached=row["sparsity_reached"],
            emptied_layers=row["emptied_layers"] or "",
            epochs=row["epochs"],
        )


def values_of(curves: Iterable[Mapping[str, Any]]) -> list[float]:
    """Validation top-1 in percent after each epoch, from the rows of a trial's curves."""
    return [row["top1"] for row in curves if row["split"] == "validation"]


def read_values(store: Store, key: str) -> list[float]:
    """Validation top-1 in percent after each epoch of a trial that is done.

    Raises:
        FileNotFoundError, DamagedTable: see `read_table`.
    """
    return values_of(parquet_tables.read_table(store, layout.CURVES, key).to_pylist())


def read_candidates(store: Store) -> list[Candidate]:
    """All candidates of a study directory, by sparsity and number.

    Raises:
        UserError: one cannot be read.
    """

    def read_candidate(path: str) -> Candidate:
        try:
            return Candidate(**json.loads(store.read(path)))
        except (FileNotFoundError, ValueError, TypeError) as error:
            reason = printable(f"{type(error).__name__}: {error}")[:200]
            raise UserError(
                f"{store.place(path)} is no record of a candidate ({reason}); "
                "delete it to run it again"
            ) from None

    candidates = store.parallel_map(read_candidate, store.list(layout.CANDIDATES, ".json"))
    return sorted(candidates, key=lambda candidate: (candidate.sparsity, candidate.number))
