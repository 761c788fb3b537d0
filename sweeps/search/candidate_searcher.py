"""The searcher that hands the candidates of a search to Ray Tune, and passes on what became of
them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.tune.search import Searcher

from sweeps.running.not_pickled import NotPickled
from sweeps.running.stop_request import StopRequest
from sweeps.search.search_state import Search
from trainables.storage.store import StoreLost

AHEAD = 16  # trials that wait for a worker, so that a cluster sees what is wanted and grows


@contextmanager
def errors_stop_the_search() -> Iterator[None]:
    """A lost study directory, or any error in the search itself, stops the search: Tune would take
    it for one of the trial, and try that again for ever."""
    try:
        yield
    except StoreLost as lost:
        StopRequest.make(str(lost))
    except Exception as error:
        StopRequest.make(f"an error in the search itself: {type(error).__name__}: {error}")


class CandidateSearcher(NotPickled, Searcher):
    """A search as a searcher of Tune's; it shares the search with the driver."""

    def __init__(self, search: Search) -> None:
        # Tune wants a metric that every result has; the rules see the accuracies themselves.
        super().__init__(metric="steps_done", mode="max")
        self.search = search

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """The next trial; None while it depends on those that run; FINISHED when the search is
        over."""
        with errors_stop_the_search():
            return self.search.suggest(trial_id, self._most_active())
        return None if self.search.active else Searcher.FINISHED

    def _most_active(self) -> int:
        """How many trials may be running or waiting for a worker.

        With tpe none waits: a proposal is made when a worker is free, so that the model knows the
        most. Members of a population wait for each other, so all may.
        """
        spec = self.search.spec
        wanted, total = spec.resources, ray.cluster_resources()
        slots = total.get("CPU", 0) / wanted.cpus_per_trial
        if wanted.gpus_per_trial:
            slots = min(slots, total.get("GPU", 0) / wanted.gpus_per_trial)
        ahead = {"tpe": 0, "population": spec.budget.trials or 0}.get(spec.strategy.draw, AHEAD)
        return max(1, int(slots)) + ahead

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Record what became of a trial."""
        with errors_stop_the_search():
            self.search.complete(trial_id, None if error else result)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: every launch makes a new search from the study directory."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""
