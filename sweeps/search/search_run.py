"""Runs a search on the connected cluster until it is over, out of budget, or asked to stop."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy

from sweeps.planning.plan import Plan
from sweeps.running import run as study_run
from sweeps.running.observer import Watcher
from sweeps.running.progress import Progress
from sweeps.running.stop_request import Stop
from sweeps.running.worker_failures import Losses
from sweeps.search.candidate_searcher import CandidateSearcher
from sweeps.search.candidate_trial import CandidateTrial
from sweeps.search.early_stopping import StoppingScheduler
from sweeps.search.population import PopulationScheduler, prepare_members
from sweeps.search.proposals import derive
from sweeps.search.search_state import Search

SAMPLES = 1_000_000  # that Tune may ask for: how many there are decides the search


class SearchProgress(Progress):
    """What is printed of the trials of a search, besides what the search itself tells of its
    candidates."""

    def __init__(self, search: Search) -> None:
        super().__init__({}, {})
        self.search = search

    def say(self, line: str) -> None:
        """Print one line at once."""
        self.search.say(line)

    def done(self, key: str, result: dict[str, Any]) -> None:
        """Tell of a dense training that is done; a candidate is told of where its result is taken
        down."""
        if self.search.find(key) is None:
            self.say(f"{key}  dense training done")

    def again(self, key: str, error: str) -> None:
        """A trial will go on from its last checkpoint."""
        self.say(f"{key}  will go on: {error}")

    def failed(self, key: str, error: str, path: str) -> None:
        """A trial is given up."""
        self.say(f"{key}  FAILED: {error}  ({path})")

    def not_run(self, key: str, parent: str) -> None:
        """A candidate cannot run; the search tells of it."""


class SearchReport(study_run.Report):
    """A report over trials that are not known beforehand."""

    def __init__(self, search: Search, losses: Losses, watchers: Sequence[Watcher]) -> None:
        super().__init__(SearchProgress(search), Plan(()), (), search.store, losses, watchers)
        self.children = defaultdict(list)


def run(search: Search, *, watchers: Sequence[Watcher] = ()) -> str:
    """Run what the search wants to try.

    Returns: "" when it ended by itself, else why it had to stop: `search.OVER`, `stop.INTERRUPTED`,
    or another reason.
    """
    losses = Losses()
    numpy.random.seed(
        derive(search.spec.seed, "brackets")
    )  # Ray draws the brackets of ASHA from numpy's own generator
    prepare_members(search)
    with study_run.interruptible(search.say):
        more = True
        while more and not Stop.reason:
            scheduler = (
                PopulationScheduler(search)
                if search.spec.strategy.draw == "population"
                else StoppingScheduler(search)
            )
            study_run.fit(
                CandidateTrial,
                CandidateSearcher(search),
                SearchReport(search, losses, watchers),
                search.spec.resources,
                samples=SAMPLES,
                scheduler=scheduler,
            )
            search.active.clear()
            more = search.take_dropped()
    tidy(search)
    reason, Stop.reason = Stop.reason, ""
    return reason


def tidy(search: Search) -> None:
    """Delete the checkpoints of candidates that have ended: workers write a last one as they are
    stopped."""
    kept = {
        path.split("/step-")[0].removeprefix("checkpoints/")
        for path in search.store.list("checkpoints", ".pt")
    }
    for one in search.all:
        if one.ended is not None and one.key in kept:
            search.store.delete(f"checkpoints/{one.key}")
    search.store.sweep()
