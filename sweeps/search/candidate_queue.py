"""Which candidate of a search comes next: those that were under way, new ones, or the best scored
ones, within the budget."""

from collections.abc import Set
from dataclasses import replace

from sweeps.search.candidate_list import CandidateList
from sweeps.search.candidate_records import Candidate, Outcome
from sweeps.search.proposals import Proposal, Proposals
from sweeps.search.search_space import count_grid_points
from sweeps.search.search_spec import SearchSpec
from sweeps.search.spending import Spending

POOL_PER_TRIAL = 3  # candidates scored for each that may be run, where the search does not say
POOL_WITHOUT_TRIALS = 32


class CandidateQueue:
    """The next candidates of a search.

    unfinished: keys of candidates that run before all others, because they were under way.
    """

    def __init__(self, spec: SearchSpec, candidates: CandidateList, spending: Spending) -> None:
        self._spec, self._candidates, self._spending = spec, candidates, spending
        self._proposals = {sparsity: Proposals(spec, sparsity) for sparsity in spec.sparsities}
        self._resolved: dict[str, Proposal] = {}  # by key of the trial
        self._used_up: set[float] = set()  # sparsities at which every point has been tried
        self.unfinished = [
            candidate.key for candidate in candidates.all if candidate.outcome == "running"
        ]

    @property
    def wants_more(self) -> bool:
        """Whether there is anything to run: something begun, or a budget for more."""
        candidates = self._candidates.all
        if self._spending.is_over(candidates):
            return bool(self.unfinished) and not self._spending.is_late(candidates)
        return any(candidate.open for candidate in candidates) or any(
            self.peek(sparsity) for sparsity in self._spec.sparsities
        )

    def resolve(self, candidate: Candidate) -> Proposal:
        """The trials of a candidate."""
        if candidate.key not in self._resolved:
            self._resolved[candidate.key] = self.resolve_changes(candidate, candidate.changes)
        return self._resolved[candidate.key]

    def resolve_changes(self, candidate: Candidate, changes: list[dict[str, object]]) -> Proposal:
        """The trials of a candidate's configuration with these changes of its recipe."""
        return self._proposals[candidate.sparsity].resolve(candidate.configuration, changes)

    def peek(self, sparsity: float) -> Proposal | None:
        """What would be tried next at a sparsity."""
        known = self._candidates.by_sparsity[sparsity]
        return self._proposals[sparsity].propose(self._candidates.next_number(sparsity), known)

    def next_candidate(self, busy: Set[str]) -> Candidate | None:
        """The next candidate, at the sparsity that has had the fewest; None where there is none.

        Args:
            busy: keys of the candidates that run, or wait for a worker or their dense training.
        """
        groups = self._candidates.by_sparsity

        def count_run(sparsity: float) -> int:
            return sum(candidate.outcome != "scored" for candidate in groups[sparsity])

        for sparsity in sorted(groups, key=count_run):
            if candidate := self._next_at(sparsity, busy):
                return candidate
        return None

    def _next_at(self, sparsity: float, busy: Set[str]) -> Candidate | None:
        if self._spec.strategy.order != "drawn":
            return self._next_scored(sparsity, busy)
        if self._is_over or sparsity in self._used_up:
            return None
        return self._add(sparsity, "running")

    def _next_scored(self, sparsity: float, busy: Set[str]) -> Candidate | None:
        """Where candidates are scored first: one to score while the pool is not full, then the best
        scored one to run."""
        group = self._candidates.by_sparsity[sparsity]
        scored = [candidate for candidate in group if candidate.outcome == "scored"]
        unscored = [candidate for candidate in scored if candidate.score is None]
        if free := [candidate for candidate in unscored if candidate.key not in busy]:
            return None if self._spending.is_late(self._candidates.all) else free[0]
        full = len(group) >= self._pool_size or sparsity in self._used_up
        if not (full or self._is_over) and (added := self._add(sparsity, "scored")):
            return added
        if self._is_over or unscored or not scored:
            return None
        best = max(
            scored, key=lambda candidate: (candidate.score or float("-inf"), -candidate.number)
        )
        return self._candidates.put(replace(best, outcome="running"))

    @property
    def _is_over(self) -> bool:
        return self._spending.is_over(self._candidates.all)

    @property
    def _pool_size(self) -> int:
        """Candidates scored at each sparsity before the first is run."""
        strategy, trials = self._spec.strategy, self._spec.budget.trials
        if strategy.draw == "grid":
            return count_grid_points(self._spec.space)
        if strategy.pool:
            return strategy.pool
        if not trials:
            return POOL_WITHOUT_TRIALS
        return POOL_PER_TRIAL * -(-trials // len(self._spec.sparsities))

    def _add(self, sparsity: float, outcome: Outcome) -> Candidate | None:
        proposal = self.peek(sparsity)
        if proposal is None:
            self._used_up.add(sparsity)
            return None
        key, number = proposal.trial.key, self._candidates.next_number(sparsity)
        self._resolved[key] = proposal
        return self._candidates.put(
            Candidate(sparsity, number, key, proposal.configuration, outcome)
        )
