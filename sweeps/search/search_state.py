"""A search while it runs: what Tune is given to run next, and what became of it.

It is made anew from the study directory at every launch. Searcher, scheduler and driver share the
one object.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sweeps.planning.plan import PlannedTrial
from sweeps.planning.trial_status import read_failure
from sweeps.running.stop_request import StopRequest
from sweeps.search.candidate_list import CandidateList
from sweeps.search.candidate_queue import CandidateQueue
from sweeps.search.candidate_records import Candidate
from sweeps.search.search_spec import SearchSpec
from sweeps.search.spending import Spending
from trainables.environment import Environment
from trainables.storage import checkpoints, layout
from trainables.storage.store import Store

OVER = "the budget is used up"
FINISHED = "FINISHED"  # as `ray.tune.search.Searcher` has it


class Search:
    """The candidates of a search and the trials that Tune runs for them.

    active: keys of what Tune has been given, by its ids. dropped: keys that want another round,
    because their worker was lost before they started.
    """

    def __init__(
        self, spec: SearchSpec, environment: Environment, *, say: Callable[[str], None]
    ) -> None:
        self.spec, self.environment, self.say = spec, environment, say
        self.store = Store.at(environment.store)
        self.candidates = CandidateList(self.store, spec.sparsities)
        self.spending = Spending(spec, self.store)
        self.queue = CandidateQueue(spec, self.candidates, self.spending)
        self.active: dict[str, str] = {}
        self.dropped: set[str] = set()
        # Keys of candidates by that of the dense training they wait for.
        self._waiting: dict[str, list[str]] = {}

    # What comes next

    def suggest(self, trial_id: str, most: int) -> dict[str, Any] | str | None:
        """What Tune is to run next; None while that depends on what runs; FINISHED when there is
        nothing left.

        Args:
            most: trials that may be running or waiting for a worker.
        """
        if len(self.active) >= most:
            return None
        config = None if StopRequest.reason else self._next_config()
        if config is None:
            return None if self.active else FINISHED
        self.active[trial_id] = str(config["key"])
        return config

    def _next_config(self) -> dict[str, Any] | None:
        while self.queue.unfinished:
            if config := self._release(self.queue.unfinished.pop(0)):
                return config
        while candidate := self.queue.next_candidate(self._busy):
            if config := self._release(candidate.key):
                return config
        return None

    @property
    def _busy(self) -> set[str]:
        """Keys of the candidates that run, or wait for a worker or for their dense training."""
        waiting = [key for keys in self._waiting.values() for key in keys]
        return {*self.active.values(), *waiting}

    def _release(self, key: str) -> dict[str, Any] | None:
        """What a worker needs to run a candidate, or the dense training it waits for; None where
        that runs already."""
        candidate = self.candidates.find(key)
        assert candidate is not None, f"{key} is a candidate"
        proposal = self.queue.resolve(candidate)
        dense = proposal.dense
        if dense and not self._has_dense_weights(dense):
            self._waiting.setdefault(dense.key, []).append(key)
            if dense.key in self.active.values():
                return None
            return self.config_of(dense, early_checks=False)
        score = self.spec.strategy.order if candidate.outcome == "scored" else None
        config = self.config_of(proposal.trial, early_checks=True, score=score)
        return {**config, **self._present_values(candidate)}

    def _present_values(self, candidate: Candidate) -> dict[str, Any]:
        """For a population, what its members train with now: Ray's rule changes these values."""
        if self.spec.strategy.draw != "population":
            return {}
        changed = {
            f"{self.spec.changing_recipe}.{name}": value
            for change in candidate.changes
            for name, value in change.items()
        }
        searched = {name: value for name, value in changed.items() if name in self.spec.space}
        return {**candidate.configuration, **searched}

    def config_of(
        self, trial: PlannedTrial, *, early_checks: bool, score: str | None = None
    ) -> dict[str, Any]:
        """What Tune is given for a trial; dense trainings have no early checks."""
        limit = self.spec.objective.max_effective_macs if early_checks else None
        return {
            "key": trial.key,
            "spec": trial.spec.model_dump(mode="json"),
            "environment": self.environment.model_dump(mode="json"),
            "early_checks": early_checks,
            "score": score,
            "max_effective_macs": limit,
        }

    def _has_dense_weights(self, dense: PlannedTrial) -> bool:
        """Whether all weights of a dense training that others start from are stored."""
        wanted = {0, *dense.spec.rewind_epochs, dense.spec.recipe.epochs}
        folder = layout.state_folder(layout.ARTIFACTS, dense.key)
        stored = checkpoints.list_state_numbers(self.store, folder, "epoch")
        return wanted <= stored and self.store.exists(layout.table_file(layout.ROWS, dense.key))

    # What became of it

    def record_progress(self, key: str, result: dict[str, Any]) -> Candidate | None:
        """Record how far a candidate is; where device time is up, ask all to stop and keep their
        checkpoints."""
        candidate = self.candidates.find(key)
        if candidate is None:
            return None
        values = list(result.get("values") or candidate.values)
        candidate = replace(
            candidate,
            values=values,
            epochs=len(values),
            seconds=max(candidate.seconds, float(result.get("seconds", 0.0))),
            images=result.get("images", candidate.images),
        )
        self.candidates.put(candidate, durable=False)
        if self.spending.is_late(self.candidates.all):
            StopRequest.make(OVER)
        return candidate

    def stop_early(self, candidate: Candidate) -> None:
        """End a candidate because the strategy says so."""
        self._end(replace(candidate, outcome="stopped"))

    def complete(self, trial_id: str, result: dict[str, Any] | None) -> None:
        """A trial is no longer run by Tune: it ended, was stopped, or its worker was lost for good
        (no result)."""
        key = self.active.pop(trial_id, "")
        if not key:
            return  # Tune reports some ends twice
        if result is None and self.store.exists(layout.failure_file(key)):  # the driver gave it up
            result = {"status": "failed", "error": read_failure(self.store, key).error}
        result = result or {}
        status = str(result.get("status", ""))
        candidate = self.record_progress(key, result)
        if candidate is None:
            self._complete_dense(key, result, status)
        elif candidate.ended is None:
            self._complete_candidate(candidate, result, status)

    def _complete_candidate(
        self, candidate: Candidate, result: dict[str, Any], status: str
    ) -> None:
        match status:
            case "done":
                self._end(candidate.with_row(dict(result["row"])))
            case "disconnected" | "too costly":
                self._end(
                    replace(
                        candidate,
                        outcome=status,  # type: ignore[arg-type]
                        emptied_layers=result.get("emptied_layers", ""),
                        effective_macs=result.get("effective_macs"),
                    )
                )
            case "scored":
                candidate = self.candidates.put(replace(candidate, score=result["score"]))
                if candidate.outcome == "scored":
                    self._announce(candidate)
            case "failed":
                self._end(replace(candidate, outcome="failed", error=str(result.get("error"))))
            case _:  # interrupted, or without its worker or its dense weights: it will continue
                if not StopRequest.reason:
                    self.dropped.add(candidate.key)
                self.candidates.put(candidate)

    def _complete_dense(self, key: str, result: dict[str, Any], status: str) -> None:
        if status == "done":
            self.spending.dense_seconds += float(result.get("seconds", 0.0))
        for child in self._waiting.pop(key, []):
            candidate = self.candidates.find(child)
            if status == "failed" and candidate is not None:
                error = f"the dense training {key} failed: {result.get('error')}"
                self._end(replace(candidate, outcome="failed", error=error))
            elif status == "done":
                self.queue.unfinished.append(child)
            else:
                self.dropped.add(child)

    def requeue_dropped(self) -> bool:
        """Queue what wants another round; returns whether there is any."""
        self.queue.unfinished += sorted(self.dropped)
        self.dropped = set()
        self._waiting = {}
        return bool(self.queue.unfinished)

    def _end(self, candidate: Candidate) -> None:
        self._announce(self.candidates.put(self.candidates.as_ended(candidate)))

    def _announce(self, candidate: Candidate) -> None:
        """Print one line on a candidate that has ended or was scored."""
        population = self.spec.strategy.draw == "population"
        total = "" if population else f"/{self.spec.budget.trials or '?'}"
        ended = [other for other in self.candidates.all if other.ended is not None]
        self.say(f"[{self.spending.count(ended)}{total}] {candidate.describe()}")
