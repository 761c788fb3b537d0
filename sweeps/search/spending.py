"""What a search has spent of its budget."""

from collections.abc import Sequence

from sweeps.search.candidate_records import Candidate
from sweeps.search.search_spec import SearchSpec
from trainables.storage import layout, parquet_tables
from trainables.storage.store import Store


class Spending:
    """The budget of a search, and what is left of it.

    dense_seconds: spent in the dense trainings that candidates start from.
    """

    def __init__(self, spec: SearchSpec, store: Store) -> None:
        self.budget, self.spec = spec.budget, spec
        self.dense_seconds = _read_dense_seconds(store)

    def count(self, candidates: Sequence[Candidate]) -> int:
        """How many candidates count for the budget; where they are scored first, only those that
        were run after that."""
        free = {"scored"}
        if self.spec.strategy.order != "drawn":
            free |= {"disconnected", "too costly"}
        return sum(
            candidate.outcome not in free and candidate.parent is None for candidate in candidates
        )

    def seconds(self, candidates: Sequence[Candidate]) -> float:
        """Device seconds spent, those of dense trainings included; several trials on one GPU share
        its time."""
        spent = self.dense_seconds + sum(candidate.seconds for candidate in candidates)
        return spent * (self.spec.resources.gpus_per_trial or 1)

    def is_late(self, candidates: Sequence[Candidate]) -> bool:
        """Whether the device time, or the money for it, is used up."""
        limit = self.budget.seconds
        return limit is not None and self.seconds(candidates) >= limit

    def is_over(self, candidates: Sequence[Candidate]) -> bool:
        """Whether no further candidate may start."""
        trials = self.budget.trials
        return self.is_late(candidates) or (trials is not None and self.count(candidates) >= trials)

    def describe(self, candidates: Sequence[Candidate]) -> str:
        """What was spent, in words."""
        hours = self.seconds(candidates) / 3600
        device = "GPU" if self.spec.resources.gpus_per_trial else "device"
        of_trials = f" of {self.budget.trials}" if self.budget.trials else ""
        text = f"{self.count(candidates)}{of_trials} candidates, {hours:.3g} {device} hours"
        if self.budget.hours is not None:
            text += f" of {self.budget.hours:g}"
        if self.budget.price is not None:
            of_money = f" of {self.budget.money:g}" if self.budget.money is not None else ""
            text += f", which cost {hours * self.budget.price:.3g}{of_money}"
        return text


def _read_dense_seconds(store: Store) -> float:
    total = 0.0
    for path in store.list(layout.ROWS, ".parquet"):
        if "/dense/" in path:
            try:
                rows = parquet_tables.decode_table(layout.ROWS, store.read(path)).to_pylist()
            except (FileNotFoundError, parquet_tables.DamagedTable):
                continue
            total += rows[-1]["trial_seconds"] or 0.0
    return total
