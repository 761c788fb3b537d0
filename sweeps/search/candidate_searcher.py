"""Hands the candidates of a search to Ray Tune, and tells the search what became of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.tune.search import Searcher

from sweeps.running.stop_request import Stop
from sweeps.search.search_state import Search
from trainables.storage.store import StoreLost

AHEAD = 16  # trials that wait for a worker, so that a cluster sees what is wanted and grows


@contextmanager
def stopping() -> Iterator[None]:
    """A lost study directory, or any fault of our own, stops the search: Tune would take it for one
    of the trial, and try that again for ever."""
    try:
        yield
    except StoreLost as lost:
        Stop.ask(str(lost))
    except Exception as error:
        Stop.ask(f"a fault of the search itself: {type(error).__name__}: {error}")


class CandidateSearcher(Searcher):
    """A search as a searcher of Tune's; it shares the search with the driver."""

    def __init__(self, search: Search) -> None:
        super().__init__(
            metric="walked", mode="max"
        )  # what every result has: the rules see values themselves
        self.search = search

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """The next trial; None while it depends on those that run; FINISHED when the search is
        over."""
        with stopping():
            return self.search.suggest(trial_id, self._room())
        return None if self.search.active else Searcher.FINISHED

    def _room(self) -> int:
        """How many trials may be under way: a model is asked only when a worker is free, so that it
        knows the most."""
        wanted = self.search.spec.resources
        total = ray.cluster_resources()
        slots = total.get("CPU", 0) / wanted.cpus_per_trial
        if wanted.gpus_per_trial:
            slots = min(slots, total.get("GPU", 0) / wanted.gpus_per_trial)
        ahead = {
            "tpe": 0,
            "population": self.search.spec.budget.trials or 0,
        }  # members wait for each other: all are known
        return max(1, int(slots)) + ahead.get(self.search.spec.strategy.draw, AHEAD)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Take down what became of a trial."""
        with stopping():
            self.search.complete(trial_id, None if error else result)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: every launch makes a new search from the study directory."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""
