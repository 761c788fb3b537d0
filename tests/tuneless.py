"""Searches without Ray: one worker after the other in this process does what Tune would do."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.tune.schedulers import TrialScheduler

from sweeps.running.stop_request import StopRequest
from sweeps.search.best_candidates import choose_best
from sweeps.search.candidate_records import Candidate
from sweeps.search.candidate_trial import CandidateTrial
from sweeps.search.early_stopping import StoppingScheduler
from sweeps.search.search_spec import SearchSpec, build_search
from sweeps.search.search_state import Search
from trainables import ray_trainable
from trainables.environment import Environment

RAW: dict[str, Any] = {
    "name": "small",
    "dataset": "digits",
    "model": "mlp",
    "method": "synflow",
    "recipe": {"epochs": 3, "batch": 256, "lr": 0.05, "augment": "none", "precision": "fp32"},
    "sparsities": [0.9, 0.95],
    "space": {
        "iterations": {"log_range": [1, 50]},
        "schedule": {"choices": ["exponential", "linear"]},
    },
    "strategy": "random",
    "budget": {"trials": 6},
    "confirm_seeds": [1, 2],
}


def make_spec(**changes: Any) -> SearchSpec:
    """A small search on digits; `changes` replace parts of its file."""
    return build_search({**RAW, **changes}, where="test")


@dataclass(frozen=True, eq=False)  # by identity, as Tune's
class GivenTrial:
    """A trial as Tune hands it to a scheduler."""

    trial_id: str
    config: dict[str, Any]


class Killed(Exception):
    """The driver and its workers are gone without a word."""


@contextmanager
def without_ray() -> Iterator[None]:
    """Workers hardly pause before they try again; SIGTERM, which they take, is as before later."""
    before = signal.getsignal(signal.SIGTERM)
    pause, ray_trainable.RETRY_PAUSE = ray_trainable.RETRY_PAUSE, 0.01
    try:
        yield
    finally:
        ray_trainable.RETRY_PAUSE = pause
        signal.signal(signal.SIGTERM, before)
        StopRequest.reason = ""


def open_search(spec: SearchSpec, folder: Path, lines: list[str] | None = None) -> Search:
    """The search of a directory, as a launch makes it."""
    environment = Environment(store=str(folder), study=spec.name, checkpoint_seconds=0)
    return Search(spec, environment, say=(lines if lines is not None else []).append)


def run(
    spec: SearchSpec,
    folder: Path,
    *,
    slots: int = 2,
    kill_after: int = 10**9,
    lines: list[str] | None = None,
) -> Search:
    """Run a search with so many workers, each of which reports in turn.

    Raises:
        Killed: so many results have come.
    """
    search = open_search(spec, folder, lines)
    scheduler = StoppingScheduler(search)
    running: dict[str, tuple[GivenTrial, CandidateTrial]] = {}
    begun, results = 0, 0
    with without_ray():
        while True:
            while len(running) < slots:
                config = search.suggest(f"t{begun}", slots)
                if not isinstance(config, dict):
                    break
                running[f"t{begun}"] = (GivenTrial(f"t{begun}", config), CandidateTrial(config))
                begun += 1
            if not running:
                return search
            for name, (trial, worker) in list(running.items()):
                result = worker.step()
                results += 1
                if results > kill_after:
                    raise Killed
                if not result["done"]:
                    given: Any = trial
                    decision = scheduler.on_trial_result(None, given, result)
                if result["done"] or decision == TrialScheduler.STOP or StopRequest.reason:
                    search.complete(name, result)
                    if StopRequest.reason:
                        worker.cleanup()
                    del running[name]


def list_outcomes(search: Search) -> list[Candidate]:
    """What became of the candidates, without what differs between two runs of the same search."""
    from dataclasses import replace

    return [replace(candidate, seconds=0.0, ended=None) for candidate in search.candidates.all]


def find_best(search: Search) -> dict[float, tuple[Any, ...]]:
    """The best of each sparsity: its key and accuracy."""
    chosen = choose_best(search.spec, search.candidates.by_sparsity)
    return {sparsity: (best[0].key, best[0].val_top1) for sparsity, best in chosen.items()}
