"""Runs what is missing of a plan on a Ray cluster, in one Tuner, and survives interruption.

Tune's own restore is not used: what is done stands in the study directory, and every launch starts a fresh Tuner on
the rest.
"""

import logging
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, ClassVar

from ray import tune

from sweeps import ledger
from sweeps.ledger import Ledger
from sweeps.plan import Plan
from sweeps.progress import Progress
from sweeps.searcher import PlanSearcher
from sweeps.study import Resources
from trainables.environment import Environment
from trainables.ray_trainable import RayTrial
from trainables.store import Store

RETRIES = 10  # lost workers or nodes a trial survives; what is its own fault is not retried


class _Interruption:
    """Whether this process has been asked to stop. Module state, because Tune copies the objects it is given."""

    asked: ClassVar[bool] = False
    running: ClassVar[set[str]] = set()


class _Report(tune.Callback):
    """Tells the progress what Tune tells us, and records trials that Ray gave up."""

    def __init__(self, progress: Progress, plan: Plan, missing: tuple[str, ...], store: Store) -> None:
        self.progress, self.store = progress, store
        launched = set(missing)  # a child may be done since an earlier launch: it is not told of again
        self.children = {key: [c for c in plan.children.get(key, []) if c in launched] for key in missing}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        _Interruption.running.add(trial.trial_id)
        self.progress.started(_key(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self.progress.moved(_key(trial), result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        _Interruption.running.discard(trial.trial_id)
        result = trial.last_result or {}
        if result.get("status") == "done":
            self.progress.done(_key(trial), result)
        elif result.get("status") == "failed":
            self._failed(_key(trial), str(result.get("error")))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        _Interruption.running.discard(trial.trial_id)
        error = f"its worker was lost {RETRIES + 1} times; the last time: {_reason(trial)}"
        ledger.record_failure(self.store, _key(trial), error)
        self._failed(_key(trial), error)

    def _failed(self, key: str, error: str) -> None:
        self.progress.failed(key, error, f"failures/{key}.json")
        for child in self.children[key]:
            self.progress.not_run(child, key)


def _key(trial: Any) -> str:
    return str(trial.config["key"])


def _reason(trial: Any) -> str:
    text = str(getattr(trial, "get_error", lambda: "")() or "unknown")
    return " ".join(text.split())[:300]


class _StopWhenAsked(tune.Stopper):
    """Stops each trial at its next report once interruption was asked for, and all when none runs any more."""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return _Interruption.asked

    def stop_all(self) -> bool:
        return _Interruption.asked and not _Interruption.running


@contextmanager
def _interruptible(say: Any) -> Iterator[None]:
    """The first SIGINT or SIGTERM asks the study to stop; the second ends it at once."""

    def ask(number: int, frame: FrameType | None) -> None:
        if _Interruption.asked:
            raise KeyboardInterrupt
        _Interruption.asked = True
        say("stopping: running trials finish their step and checkpoint; press Ctrl-C again to stop at once")

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def run(plan: Plan, state: Ledger, environment: Environment, resources: Resources, progress: Progress) -> bool:
    """Run the missing trials on the connected cluster.

    Returns: whether the launch ran to its end, rather than being interrupted.
    """
    _Interruption.asked, _Interruption.running = False, set()
    store = Store.at(environment.store)
    bundle = {"CPU": resources.cpus_per_trial}
    if resources.gpus_per_trial:
        bundle["GPU"] = resources.gpus_per_trial
    scratch = tempfile.mkdtemp(prefix="study-")
    tuner = tune.Tuner(
        tune.with_resources(RayTrial, tune.PlacementGroupFactory([bundle])),
        tune_config=tune.TuneConfig(
            search_alg=PlanSearcher(plan, state.missing, environment.model_dump(mode="json")),
            num_samples=len(state.missing),
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=scratch,
            stop=_StopWhenAsked(),
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            callbacks=[_Report(progress, plan, state.missing, store)],
            verbose=0,
        ),
    )
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    try:
        with _interruptible(progress.say):
            tuner.fit()
    except KeyboardInterrupt:
        _Interruption.asked = True
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return not _Interruption.asked
