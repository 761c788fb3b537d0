"""Runs a search on the connected cluster until it is over, out of budget, or asked to stop."""

from collections.abc import Sequence
from typing import Any

import numpy

from sweeps.running.observer import Observer
from sweeps.running.progress import Progress
from sweeps.running.run import run_tuner
from sweeps.running.stop_request import StopRequest, stop_on_signals
from sweeps.running.tune_callback import TuneCallback
from sweeps.running.unfit_nodes import UnfitNodes
from sweeps.running.worker_failures import WorkerFailures
from sweeps.search.candidate_searcher import CandidateSearcher
from sweeps.search.candidate_trial import CandidateTrial
from sweeps.search.early_stopping import StoppingScheduler
from sweeps.search.population import PopulationScheduler, seed_population_draws
from sweeps.search.proposals import seed_for
from sweeps.search.search_state import Search
from trainables.storage import layout

SAMPLES = 1_000_000  # that Tune may ask for: the search decides how many there are


class SearchProgress(Progress):
    """The printed progress of a search's trials, besides the lines of the search itself on its
    candidates."""

    def __init__(self, search: Search) -> None:
        super().__init__({}, {})
        self.search = search

    def say(self, line: str) -> None:
        """Print one line at once."""
        self.search.say(line)

    def done(self, key: str, result: dict[str, Any]) -> None:
        """A dense training is done. Candidates have their line where the result is recorded."""
        if self.search.candidates.find(key) is None:
            self.say(f"{key}  dense training done")

    def will_continue(self, key: str, error: str) -> None:
        """A trial will continue from its last checkpoint."""
        self.say(f"{key}  will go on: {error}")

    def failed(self, key: str, error: str, path: str) -> None:
        """A trial is given up."""
        self.say(f"{key}  FAILED: {error}  ({path})")

    def not_run(self, key: str, parent: str) -> None:
        """A candidate cannot run; the search prints that."""


def run_search(search: Search, *, observers: Sequence[Observer] = ()) -> str:
    """Run what the search wants to try.

    Returns: "" when it ended by itself, else why it had to stop: `search_state.OVER`,
        `stop_request.INTERRUPTED`, or another reason.
    """
    failures, nodes = WorkerFailures(), UnfitNodes(search.spec.resources, search.say)
    # Ray draws the brackets of ASHA from numpy's own generator.
    numpy.random.seed(seed_for(search.spec.seed, "brackets"))
    seed_population_draws(search)
    population = search.spec.strategy.draw == "population"
    with stop_on_signals(search.say):
        more = True
        while more and not StopRequest.reason:
            run_tuner(
                CandidateTrial,
                CandidateSearcher(search),
                TuneCallback(
                    SearchProgress(search), {}, search.store, failures, observers, nodes=nodes
                ),
                search.spec.resources,
                samples=SAMPLES,
                scheduler=PopulationScheduler(search) if population else StoppingScheduler(search),
            )
            search.active.clear()
            more = search.requeue_dropped()
        nodes.release()
    delete_checkpoints_of_ended(search)
    return StopRequest.take()


def delete_checkpoints_of_ended(search: Search) -> None:
    """Delete the checkpoints of candidates that have ended: workers write a last one as they are
    stopped."""
    paths = search.store.list(layout.CHECKPOINTS, ".pt")
    stored = {layout.state_key(path) for path in paths}
    for candidate in search.candidates.all:
        if candidate.ended is not None and candidate.key in stored:
            search.store.delete(layout.state_folder(layout.CHECKPOINTS, candidate.key))
    search.store.delete_abandoned_files()
