"""Runs what is missing of a plan on a Ray cluster, and survives interruption.

Tune's own restore is not used: what is done is recorded in the study directory, and every launch
starts a fresh Tuner on the rest.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

from ray import tune
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from sweeps.planning.plan import Plan
from sweeps.planning.trial_status import read_trial_status
from sweeps.running.leftovers import scratch_folder
from sweeps.running.observer import Observer
from sweeps.running.plan_searcher import PlanSearcher
from sweeps.running.progress import Progress
from sweeps.running.ray_errors import find_ray_error, lost_workers_for_tune
from sweeps.running.stop_request import INTERRUPTED, StopRequest, stop_on_signals
from sweeps.running.tune_callback import TuneCallback, uncounted_callbacks
from sweeps.running.unfit_nodes import UnfitNodes
from sweeps.running.worker_failures import WorkerFailures, describe_failure
from sweeps.study_file.study_fields import Resources
from trainables.environment import Environment
from trainables.ray_notices import request_stop
from trainables.ray_trainable import RayTrial
from trainables.storage.store import Store

UNHEARD_SECONDS = 60.0  # after which a trial is stopped that reports and has not ended


class StopOnRequest(tune.Stopper):
    """Once a stop is requested, has each trial that runs save and end, and then stops Tune, with
    whatever it has started meanwhile. Trials that do not hear it are stopped after a minute."""

    def __init__(self) -> None:
        self._told_at: float | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self._told_at is not None and time.monotonic() - self._told_at > UNHEARD_SECONDS

    def stop_all(self) -> bool:
        if not StopRequest.reason:
            return False
        if self._told_at is None:
            self._told_at = time.monotonic()
            request_stop(True)
        return not StopRequest.running


def run_plan(
    plan: Plan,
    environment: Environment,
    resources: Resources,
    progress: Progress,
    *,
    observers: Sequence[Observer] = (),
) -> str:
    """Run the missing trials on the connected cluster.

    Returns: "" when the launch ran to its end, INTERRUPTED, or in one line why it had to stop.
    """
    store, failures = Store.at(environment.store), WorkerFailures()
    nodes = UnfitNodes(resources, progress.say)
    with stop_on_signals(progress.say):
        while not StopRequest.reason:
            missing = read_trial_status(plan, store, reported=progress.done_keys).missing
            if not missing:
                break
            children = find_children(plan, missing)
            callback = TuneCallback(progress, children, store, failures, observers, nodes=nodes)
            searcher = PlanSearcher(plan, missing, environment.model_dump(mode="json"))
            run_tuner(RayTrial, searcher, callback, resources, samples=len(missing))
            if not callback.dropped:
                break
        nodes.release()
    return StopRequest.take()


def find_children(plan: Plan, missing: Sequence[str]) -> dict[str, list[str]]:
    """The trials of this launch that need another one of it, by its key; a child may be done since
    an earlier launch."""
    launched = set(missing)
    return {
        key: [child for child in plan.children.get(key, []) if child in launched] for key in missing
    }


def run_tuner(
    trainable: type[RayTrial],
    searcher: Searcher,
    callback: TuneCallback,
    resources: Resources,
    *,
    samples: int,
    scheduler: TrialScheduler | None = None,
) -> None:
    """Run what the searcher hands out, up to `samples` trials, to its end or until a stop is
    requested."""
    StopRequest.running = set()
    request_stop(False)
    bundle = {"CPU": resources.cpus_per_trial}
    if resources.gpus_per_trial:
        bundle["GPU"] = resources.gpus_per_trial
    with scratch_folder() as scratch:
        _fit(trainable, searcher, callback, scheduler, bundle, samples=samples, scratch=scratch)


def _fit(
    trainable: type[RayTrial],
    searcher: Searcher,
    callback: TuneCallback,
    scheduler: TrialScheduler | None,
    bundle: dict[str, float],
    *,
    samples: int,
    scratch: str,
) -> None:
    tuner = tune.Tuner(
        tune.with_resources(trainable, tune.PlacementGroupFactory([bundle])),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=samples,
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=scratch,
            stop=StopOnRequest(),
            # Without a limit of Tune's: `WorkerFailures` decides when a trial has failed too often.
            failure_config=tune.FailureConfig(max_failures=-1),
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_frequency=0, checkpoint_at_end=False
            ),
            callbacks=[callback],
            verbose=0,
        ),
    )
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    try:
        with lost_workers_for_tune(), uncounted_callbacks():
            tuner.fit()
    except KeyboardInterrupt:
        StopRequest.make(INTERRUPTED)
    except Exception as error:
        if not (lost := find_ray_error(error)):
            raise
        StopRequest.make(f"Ray could not go on: {describe_failure(str(lost))}")
