"""The candidates of a search, in memory and on disk.

The truth are the candidates' files; this list is made anew from them at every launch.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sweeps.search.candidate_records import Candidate, read_candidates, read_values
from trainables.storage import layout, parquet_tables
from trainables.storage.store import Store


class CandidateList:
    """All candidates that were ever begun or scored.

    by_sparsity: in the order of their numbers.
    """

    def __init__(self, store: Store, sparsities: Sequence[float]) -> None:
        self._store = store
        self.by_sparsity: dict[float, list[Candidate]] = {sparsity: [] for sparsity in sparsities}
        for candidate in read_candidates(store):
            if candidate.sparsity in self.by_sparsity:
                self.by_sparsity[candidate.sparsity].append(candidate)
        self._take_over_rows()

    def _take_over_rows(self) -> None:
        """Record what candidates had reached when an earlier launch was killed before it could."""
        for candidate in self.all:
            if candidate.outcome == "running" and (found := self._read_results(candidate.key)):
                row, values = found
                measured = replace(candidate.with_row(row), seconds=row["trial_seconds"])
                self.put(self.as_ended(replace(measured, values=values)))

    def _read_results(self, key: str) -> tuple[dict[str, Any], list[float]] | None:
        """The last row of a trial, and its validation top-1 after each epoch."""
        try:
            rows = parquet_tables.read_table(self._store, layout.ROWS, key).to_pylist()
            return dict(rows[-1]), read_values(self._store, key)
        except (FileNotFoundError, parquet_tables.DamagedTable):
            return None

    @property
    def all(self) -> list[Candidate]:
        """All candidates, by sparsity and number."""
        return [candidate for group in self.by_sparsity.values() for candidate in group]

    def find(self, key: str) -> Candidate | None:
        """The candidate with a trial of this key."""
        return next((candidate for candidate in self.all if candidate.key == key), None)

    def put(self, candidate: Candidate, *, durable: bool = True) -> Candidate:
        """Take a new candidate or a new state of one, and write its file where `durable`."""
        group = self.by_sparsity[candidate.sparsity]
        numbers = [known.number for known in group]
        if candidate.number in numbers:
            group[numbers.index(candidate.number)] = candidate
        else:
            group.append(candidate)
        if durable:
            candidate.write(self._store)
        return candidate

    def as_ended(self, candidate: Candidate) -> Candidate:
        """The candidate as the last one to end so far."""
        return replace(candidate, ended=sum(other.ended is not None for other in self.all))

    def next_number(self, sparsity: float) -> int:
        """The number of the next candidate at a sparsity."""
        numbers = {candidate.number for candidate in self.by_sparsity[sparsity]}
        return next(number for number in range(len(numbers) + 1) if number not in numbers)
