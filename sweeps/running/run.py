"""Runs what is missing of a plan on a Ray cluster, and survives interruption.

Tune's own restore is not used: what is done stands in the study directory, and every launch starts
a fresh Tuner on the rest.
"""

import logging
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from ray import tune
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from pruning.user_error import printable
from sweeps.planning import trial_status
from sweeps.planning.plan import Plan
from sweeps.planning.trial_status import Ledger
from sweeps.running.observer import Watcher
from sweeps.running.plan_searcher import PlanSearcher
from sweeps.running.progress import Progress
from sweeps.running.stop_request import INTERRUPTED, Stop
from sweeps.running.worker_failures import Losses, tell
from sweeps.study_file.study import Resources
from trainables.environment import Environment
from trainables.ray_trainable import RayTrial
from trainables.storage.store import Store, StoreLost


class Report(tune.Callback):
    """Tells the progress what Tune tells us, and gives up trials that keep losing their workers.

    dropped: trials that want another round, because Tune gave them up when their worker was lost
        before it had begun, or because the weights of their dense training must be made anew.
    """

    def __init__(
        self,
        progress: Progress,
        plan: Plan,
        missing: tuple[str, ...],
        store: Store,
        losses: Losses,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self.progress, self.store, self.losses, self.watchers = (
            progress,
            store,
            losses,
            list(watchers),
        )
        self.dropped: set[str] = set()
        launched = set(
            missing
        )  # a child may be done since an earlier launch: it is not told of again
        self.children = {
            key: [c for c in plan.children.get(key, []) if c in launched] for key in missing
        }

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        Stop.running.add(trial.trial_id)
        self.progress.started(_key(trial))
        self._watched(lambda one: one.started(_key(trial), trial.config["spec"]))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        key = _key(trial)
        if "start" in result:
            self.losses.start[key] = result["start"]
        if result.get("status") == "retrying":
            self.progress.again(key, str(result.get("error")))
        self.progress.moved(key, result)
        self._watched(lambda one: one.moved(key, result))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        Stop.running.discard(trial.trial_id)
        result = trial.last_result or {}
        if result.get("status") == "done":
            self.progress.done(_key(trial), result)
            self._watched(lambda one: one.done(_key(trial), result))
            return
        if result.get("status") == "failed":
            self._failed(_key(trial), str(result.get("error")))
        elif result.get("status") == "orphaned":
            self.dropped.add(_key(trial))
            self._lost(_key(trial), str(result.get("error")), told=str(result.get("error")))
        elif result.get("status") == "store_lost":
            Stop.ask(str(result.get("error")))
        self._watched(lambda one: one.left(_key(trial)))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        Stop.running.discard(trial.trial_id)
        self._lost(_key(trial), error := _reason(trial), told=tell(error))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        Stop.running.discard(trial.trial_id)
        self.dropped.add(_key(trial))
        self._lost(_key(trial), error := _reason(trial), told=tell(error))

    def _lost(self, key: str, error: str, *, told: str) -> None:
        self._watched(lambda one: one.left(key))
        given_up = self.losses.add(key, error)
        if not given_up:
            self.progress.again(key, told)
            return
        try:
            trial_status.record_failure(
                self.store, key, given_up
            )  # its next worker reads this and ends the trial
        except StoreLost as lost:
            Stop.ask(str(lost))
        if key in self.dropped:
            self._failed(key, given_up)

    def _failed(self, key: str, error: str) -> None:
        self.progress.failed(key, error, f"failures/{key}.json")
        self._watched(lambda one: one.failed(key, error))
        for child in self.children[key]:
            self.progress.not_run(child, key)

    def _watched(self, tell: Callable[[Watcher], None]) -> None:
        """Tell all watchers; one that fails is told no more, because Tune would end the study for
        it."""
        for one in list(self.watchers):
            try:
                tell(one)
            except Exception as error:
                self.watchers.remove(one)
                reason = printable(f"{type(one).__name__}: {type(error).__name__}: {error}")
                self.progress.say(f"warning: {reason}; the study goes on without it")


def _key(trial: Any) -> str:
    return str(trial.config["key"])


def _reason(trial: Any) -> str:
    """What Ray says of the end of a trial's worker: the newest entry of the trial's error file."""
    try:
        text = (
            Path(trial.error_file)
            .read_text(errors="replace")
            .rpartition("Failure # ")[2]
            .partition("\n")[2]
        )
    except (OSError, TypeError):
        text = ""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())


class StopWhenAsked(tune.Stopper):
    """Stops each trial at its next report once interruption was asked for, and all when none runs
    any more."""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return bool(Stop.reason)

    def stop_all(self) -> bool:
        return bool(Stop.reason) and not Stop.running


@contextmanager
def interruptible(say: Callable[[str], None]) -> Iterator[None]:
    """The first SIGINT or SIGTERM asks the study to stop; the second ends it at once."""

    def ask(number: int, frame: FrameType | None) -> None:
        if Stop.reason:
            raise KeyboardInterrupt
        Stop.ask(INTERRUPTED)
        say("stopping: running trials checkpoint; press Ctrl-C again to stop at once")

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def run(
    plan: Plan,
    environment: Environment,
    resources: Resources,
    progress: Progress,
    *,
    watchers: Sequence[Watcher] = (),
) -> str:
    """Run the missing trials on the connected cluster.

    Returns: "" when the launch ran to its end, INTERRUPTED, or in one line why it had to stop.
    """
    store, losses = Store.at(environment.store), Losses()
    with interruptible(progress.say):
        while not Stop.reason:
            state = trial_status.read(plan, store)
            if not state.missing or not _round(
                plan, state, environment, resources, progress, losses, watchers
            ):
                break
    reason, Stop.reason = Stop.reason, ""
    return reason


def _round(
    plan: Plan,
    state: Ledger,
    environment: Environment,
    resources: Resources,
    progress: Progress,
    losses: Losses,
    watchers: Sequence[Watcher],
) -> bool:
    """One Tuner over what is missing; returns whether it left trials out that are to be tried
    again."""
    report = Report(progress, plan, state.missing, Store.at(environment.store), losses, watchers)
    searcher = PlanSearcher(plan, state.missing, environment.model_dump(mode="json"))
    fit(RayTrial, searcher, report, resources, samples=len(state.missing))
    return bool(report.dropped)


def fit(
    trainable: type[RayTrial],
    searcher: Searcher,
    report: Report,
    resources: Resources,
    *,
    samples: int,
    scheduler: TrialScheduler | None = None,
) -> None:
    """Run what the searcher hands out, up to `samples` trials, to its end or until a stop is asked
    for."""
    Stop.running = set()
    bundle = {"CPU": resources.cpus_per_trial}
    if resources.gpus_per_trial:
        bundle["GPU"] = resources.gpus_per_trial
    scratch = tempfile.mkdtemp(prefix="study-")
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
            stop=StopWhenAsked(),
            failure_config=tune.FailureConfig(
                max_failures=-1
            ),  # `Losses` decides when it is enough
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_frequency=0, checkpoint_at_end=False
            ),
            callbacks=[report],
            verbose=0,
        ),
    )
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    try:
        tuner.fit()
    except KeyboardInterrupt:
        Stop.ask(INTERRUPTED)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
