"""What a search has spent of its budget."""

from collections.abc import Sequence

from sweeps.search.candidate_records import Candidate
from sweeps.search.search_spec import SearchSpec
from trainables.storage import parquet_tables
from trainables.storage.store import Store


class Spending:
    """The budget of a search, and what is left of it.

    dense_seconds: spent in the dense trainings that candidates start from.
    """

    def __init__(self, spec: SearchSpec, store: Store) -> None:
        self.budget, self.spec = spec.budget, spec
        self.dense_seconds = _read_dense_seconds(store)

    def used(self, found: Sequence[Candidate]) -> int:
        """Candidates that count; where they are scored first, only those that were run after that.
        """
        free = (
            {"scored"}
            if self.spec.strategy.order == "drawn"
            else {"scored", "disconnected", "too costly"}
        )
        return sum(one.outcome not in free and one.parent is None for one in found)

    def seconds(self, found: Sequence[Candidate]) -> float:
        """Device seconds spent, those of dense trainings included; several trials on one GPU share
        its time."""
        spent = self.dense_seconds + sum(one.seconds for one in found)
        return spent * (self.spec.resources.gpus_per_trial or 1)

    def is_late(self, found: Sequence[Candidate]) -> bool:
        """Whether the device time, or the money for it, is used up."""
        return self.budget.seconds is not None and self.seconds(found) >= self.budget.seconds

    def is_over(self, found: Sequence[Candidate]) -> bool:
        """Whether no further candidate may begin."""
        trials = self.budget.trials
        return self.is_late(found) or (trials is not None and self.used(found) >= trials)

    def describe(self, found: Sequence[Candidate]) -> str:
        """What was spent, in words."""
        hours = self.seconds(found) / 3600
        device = "GPU" if self.spec.resources.gpus_per_trial else "device"
        of = f" of {self.budget.trials}" if self.budget.trials else ""
        told = f"{self.used(found)}{of} candidates, {hours:.3g} {device} hours"
        if self.budget.hours is not None:
            told += f" of {self.budget.hours:g}"
        if self.budget.price is not None:
            money = f" of {self.budget.money:g}" if self.budget.money is not None else ""
            told += f", which cost {hours * self.budget.price:.3g}{money}"
        return told


def _read_dense_seconds(store: Store) -> float:
    total = 0.0
    for path in store.list("rows", ".parquet"):
        if "/dense/" in path:
            try:
                total += (
                    parquet_tables.decode("rows", store.read(path)).to_pylist()[-1]["trial_seconds"]
                    or 0.0
                )
            except (FileNotFoundError, parquet_tables.DamagedTable):
                continue
    return total
