"""A search while it runs: which candidate comes next, what became of each, and whether the budget
allows more.

The truth are the candidates' files; this object is made anew from them at every launch. Tune copies
what it is given, so it refuses to be copied: searcher, scheduler and driver share the one.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sweeps.planning.plan import Planned
from sweeps.running.stop_request import Stop
from sweeps.search import candidate_records, search_space
from sweeps.search.budget import Spending
from sweeps.search.candidate_records import Candidate
from sweeps.search.proposals import Proposal, Proposals
from sweeps.search.search_spec import SearchSpec
from trainables.environment import Environment
from trainables.storage import checkpoints, parquet_tables
from trainables.storage.store import Store

OVER = "the budget is used up"
POOL = 3  # candidates scored for each that may be run, where the search does not say
POOL_WITHOUT_TRIALS = 32
FINISHED = "FINISHED"  # as `ray.tune.search.Searcher` has it


class Search:
    """The candidates of a search and what they have cost.

    at: candidates by sparsity, in the order of their numbers. active: keys of what Tune has been
    given, by its ids. dropped: keys that want another round, because their worker was lost before
    they began.
    """

    def __init__(
        self, spec: SearchSpec, environment: Environment, *, say: Callable[[str], None]
    ) -> None:
        self.spec, self.environment, self.say = spec, environment, say
        self.store = Store.at(environment.store)
        self.proposals = {sparsity: Proposals(spec, sparsity) for sparsity in spec.sparsities}
        self.at: dict[float, list[Candidate]] = {sparsity: [] for sparsity in spec.sparsities}
        for one in candidate_records.read(self.store):
            if one.sparsity in self.at:
                self.at[one.sparsity].append(one)
        self.active: dict[str, str] = {}
        self.dropped: set[str] = set()
        self._used_up: set[float] = set()
        self._waiting: dict[
            str, list[str]
        ] = {}  # keys of candidates by that of the dense training they wait for
        self._dense: dict[str, Planned] = {}
        self._trials: dict[str, Planned] = {}
        self.spending = Spending(spec, self.store)
        self._settle()
        self._again = [one.key for one in self.all if one.outcome == "running"]

    def __deepcopy__(self, memo: dict[int, Any]) -> "Search":
        return self

    def __reduce__(self) -> Any:  # Tune writes what it is given to a file that nobody reads
        return str, ("search",)

    @property
    def all(self) -> list[Candidate]:
        """All candidates, by sparsity and number."""
        return [one for group in self.at.values() for one in group]

    def find(self, key: str) -> Candidate | None:
        """The candidate with a trial of this key."""
        return next((one for one in self.all if one.key == key), None)

    def put(self, one: Candidate, *, durable: bool = True) -> Candidate:
        """Take a new state of a candidate, and write it down."""
        group = self.at[one.sparsity]
        index = next((index for index, old in enumerate(group) if old.number == one.number), None)
        if index is None:
            group.append(one)
        else:
            group[index] = one
        if durable:
            one.write(self.store)
        return one

    def _settle(self) -> None:
        """Take over what candidates had reached when an earlier launch was killed: rows, or the
        record of a failure."""
        for one in self.all:
            if one.outcome == "running" and (row := self._row(one.key)):
                self.put(self._ended(replace(one.with_row(row), seconds=row["trial_seconds"])))

    def _row(self, key: str) -> dict[str, Any] | None:
        try:
            return dict(
                parquet_tables.decode(
                    "rows", self.store.read(f"rows/{key}.parquet"), key=key
                ).to_pylist()[-1]
            )
        except (FileNotFoundError, parquet_tables.DamagedTable):
            return None

    def _ended(self, one: Candidate) -> Candidate:
        return replace(one, ended=sum(other.ended is not None for other in self.all))

    # What comes next

    @property
    def wants_more(self) -> bool:
        """Whether there is anything to run: something begun, or a budget for more."""
        begun = any(one.open for one in self.all)
        if self.spending.is_over(self.all):
            return bool(self._again) and not self.spending.is_late(self.all)
        return begun or any(self.peek(sparsity) for sparsity in self.at)

    def suggest(self, trial_id: str, room: int) -> dict[str, Any] | str | None:
        """What Tune is to run next; None while that depends on what runs; FINISHED when there is
        nothing left.

        Args:
            room: how many trials may be under way or waiting for a worker.
        """
        if len(self.active) >= room:
            return None
        found = None if Stop.reason else self._next()
        if found is None:
            return None if self.active else FINISHED
        self.active[trial_id] = str(found["key"])
        return found

    def _next(self) -> dict[str, Any] | None:
        while self._again:
            if release := self._release(self._again.pop(0)):
                return release
        while True:
            one = self._choose()
            if one is None:
                return None
            if release := self._release(one.key):
                return release

    def _choose(self) -> Candidate | None:
        """The next candidate at the sparsity that has had the fewest."""
        for sparsity in sorted(
            self.at, key=lambda s: sum(one.outcome != "scored" for one in self.at[s])
        ):
            if found := self._choose_at(sparsity):
                return found
        return None

    def _choose_at(self, sparsity: float) -> Candidate | None:
        group, ordered = self.at[sparsity], self.spec.strategy.order != "drawn"
        if not ordered:
            over = self.spending.is_over(self.all) or sparsity in self._used_up
            return None if over else self._propose(sparsity, "running")
        busy = set(self.active.values())
        if again := [
            one
            for one in group
            if one.outcome == "scored" and one.score is None and one.key not in busy
        ]:
            return again[0] if not self.spending.is_late(self.all) else None
        full = (
            len(group) >= self._pool or sparsity in self._used_up or self.spending.is_over(self.all)
        )
        if not full and (found := self._propose(sparsity, "scored")):
            return found
        scored = [one for one in group if one.outcome == "scored"]
        if (
            self.spending.is_over(self.all)
            or not scored
            or any(one.score is None for one in scored)
        ):
            return None
        best = max(scored, key=lambda one: (one.score or float("-inf"), -one.number))
        return self.put(replace(best, outcome="running"))

    @property
    def _pool(self) -> int:
        """Candidates scored at each sparsity before the first is run."""
        strategy, trials = self.spec.strategy, self.spec.budget.trials
        if strategy.draw == "grid":
            return search_space.count(self.spec.space)
        return strategy.pool or (
            POOL * -(-trials // len(self.at)) if trials else POOL_WITHOUT_TRIALS
        )

    def _propose(self, sparsity: float, outcome: candidate_records.Outcome) -> Candidate | None:
        proposal = self.peek(sparsity)
        if proposal is None:
            self._used_up.add(sparsity)
            return None
        self._remember(proposal)
        key, number = proposal.trial.key, self.next_number(sparsity)
        return self.put(Candidate(sparsity, number, key, proposal.configuration, outcome))

    def peek(self, sparsity: float) -> Proposal | None:
        """What would be tried next at a sparsity."""
        return self.proposals[sparsity].next(self.next_number(sparsity), self.at[sparsity])

    def next_number(self, sparsity: float) -> int:
        """The number of the next candidate at a sparsity."""
        numbers = {one.number for one in self.at[sparsity]}
        return next(number for number in range(len(numbers) + 1) if number not in numbers)

    # Trials

    def _remember(self, proposal: Proposal) -> None:
        self._trials[proposal.trial.key] = proposal.trial
        if proposal.dense:
            self._dense[proposal.trial.key] = proposal.dense

    def _release(self, key: str) -> dict[str, Any] | None:
        """What a worker needs to run a candidate, or the dense training it waits for; None where
        that runs already."""
        one = self.find(key)
        assert one is not None, f"{key} is a candidate"
        if key not in self._trials:
            self._remember(self.proposals[one.sparsity].resolve(one.configuration, one.changes))
        dense = self._dense.get(key)
        if dense and not self._has(dense):
            self._waiting.setdefault(dense.key, []).append(key)
            return None if dense.key in self.active.values() else self.config(dense, gated=False)
        score = self.spec.strategy.order if one.outcome == "scored" else None
        return {**self.config(self._trials[key], gated=True, score=score), **self._values(one)}

    def _values(self, one: Candidate) -> dict[str, Any]:
        """For a population, what its members train with now: Ray's rule changes these values."""
        if self.spec.strategy.draw != "population":
            return {}
        named = [
            (f"{self.spec.changing}.{name}", value)
            for change in one.changes
            for name, value in change.items()
        ]
        return {
            **one.configuration,
            **{name: value for name, value in named if name in self.spec.space},
        }

    def config(self, trial: Planned, *, gated: bool, score: str | None = None) -> dict[str, Any]:
        """What Tune is given for a trial; dense trainings are not gated."""
        return {
            "key": trial.key,
            "spec": trial.spec.model_dump(mode="json"),
            "environment": self.environment.model_dump(mode="json"),
            "gated": gated,
            "score": score,
            "max_effective_macs": self.spec.objective.max_effective_macs if gated else None,
        }

    def _has(self, dense: Planned) -> bool:
        """Whether all weights of a dense training that others start from are stored."""
        wanted = {0, *dense.spec.rewind_epochs, dense.spec.recipe.epochs}
        stored = checkpoints.numbers(self.store, f"artifacts/{dense.key}", "epoch")
        return wanted <= stored and self.store.exists(f"rows/{dense.key}.parquet")

    # What became of it

    def note(self, key: str, result: dict[str, Any]) -> Candidate | None:
        """Take down how far a candidate is; where device time is up, ask all to stop and keep their
        checkpoints."""
        one = self.find(key)
        if one is None:
            return None
        seconds = max(one.seconds, float(result.get("seconds", 0.0)))
        values = list(result.get("values") or one.values)
        images = result.get("images", one.images)
        known = replace(one, values=values, epochs=len(values), seconds=seconds, images=images)
        found = self.put(known, durable=False)
        if self.spending.is_late(self.all):
            Stop.ask(OVER)
        return found

    def stop(self, one: Candidate) -> None:
        """A candidate ends early, because the strategy says so."""
        self._tell(self.put(self._ended(replace(one, outcome="stopped"))))

    def complete(self, trial_id: str, result: dict[str, Any] | None) -> None:
        """A trial is no longer run by Tune: it ended, was stopped, or its worker was lost for good
        (no result)."""
        key = self.active.pop(trial_id, "")
        status = "" if result is None else str(result.get("status"))
        one = self.find(key)
        if not key:
            return  # Tune tells of some ends twice
        if one is None:
            self._complete_dense(key, result or {}, status)
            return
        one = self.note(key, result or {}) or one
        if one.ended is not None:
            return
        result = result or {}
        match status:
            case "done":
                one = self._ended(one.with_row(dict(result["row"])))
            case "disconnected" | "too costly":
                found = replace(
                    one, outcome=status, emptied_layers=result.get("emptied_layers", "")
                )  # type: ignore[arg-type]
                one = self._ended(replace(found, effective_macs=result.get("effective_macs")))
            case "scored":
                one = replace(one, score=result["score"])
            case "failed":
                one = self._ended(replace(one, outcome="failed", error=str(result.get("error"))))
            case _:  # interrupted, or its worker or its dense weights were lost: it goes on from its checkpoint
                if not Stop.reason:
                    self.dropped.add(key)
        self._tell(self.put(one))

    def _complete_dense(self, key: str, result: dict[str, Any], status: str) -> None:
        self.spending.dense_seconds += (
            float(result.get("seconds", 0.0)) if status == "done" else 0.0
        )
        for child in self._waiting.pop(key, []):
            one = self.find(child)
            if status == "failed" and one is not None:
                error = f"the dense training {key} failed: {result.get('error')}"
                self._tell(self.put(self._ended(replace(one, outcome="failed", error=error))))
            elif status == "done":
                self._again.append(child)
            else:
                self.dropped.add(child)

    def take_dropped(self) -> bool:
        """Queue what wants another round; returns whether there is any."""
        self._again += sorted(self.dropped)
        self.dropped = set()
        self._waiting = {}
        return bool(self._again)

    def _tell(self, one: Candidate) -> None:
        if one.outcome == "running" or (one.outcome == "scored" and one.score is None):
            return
        total = (
            "" if self.spec.strategy.draw == "population" else f"/{self.spec.budget.trials or '?'}"
        )
        ended = self.spending.used([one for one in self.all if one.ended is not None])
        self.say(f"[{ended}{total}] {one.describe()}")
