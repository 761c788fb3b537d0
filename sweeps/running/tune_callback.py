"""What Ray Tune reports of trials, passed on to the progress and the observers; decides which
trials are given up."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray import tune

from pruning.user_error import printable
from sweeps.planning.trial_status import record_failure
from sweeps.running.local_ray import find_session_folder
from sweeps.running.not_pickled import NotPickled
from sweeps.running.observer import Observer
from sweeps.running.progress import Progress
from sweeps.running.stop_request import StopRequest
from sweeps.running.unfit_nodes import UnfitNodes
from sweeps.running.worker_crash import find_crash
from sweeps.running.worker_failures import (
    ROUNDS,
    WorkerFailures,
    describe_failure,
    pause_before_retry,
)
from trainables.storage.layout import failure_file
from trainables.storage.store import Store, StoreLost


@contextmanager
def uncounted_callbacks() -> Iterator[None]:
    """While this lasts, Tune does not count for Ray's usage statistics which callbacks it is given:
    for that it would import MLflow, W&B and Comet where they are installed, which takes seconds."""
    from ray.tune import tune as tune_run

    # Private, since Tune has no switch for it; where it is absent nothing is gained.
    usage: Any = getattr(tune_run, "air_usage", None)
    count = getattr(usage, "tag_callbacks", None)
    if count is None:
        yield
        return
    usage.tag_callbacks = lambda callbacks: False
    try:
        yield
    finally:
        usage.tag_callbacks = count


class TuneCallback(NotPickled, tune.Callback):
    """Passes on what Tune reports, and gives up trials that keep losing their workers.

    Args:
        children: by key of a trial, the keys of those of this launch that need it.
        nodes: is told of every worker that was lost.

    dropped: trials that want another round, because Tune gave them up when their worker was lost
        before it had started, or because the weights of their dense training must be made anew.
    given_up: trials that this driver has ended; what their last worker still reports is not heard.
    """

    def __init__(
        self,
        progress: Progress,
        children: Mapping[str, Sequence[str]],
        store: Store,
        failures: WorkerFailures,
        observers: Sequence[Observer] = (),
        *,
        nodes: UnfitNodes | None = None,
    ) -> None:
        self.progress, self.children, self.store = progress, children, store
        self.failures, self.observers, self.nodes = failures, list(observers), nodes
        self.dropped: set[str] = set()
        self.given_up: set[str] = set()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if not StopRequest.reason:  # one that Tune still starts afterwards is not waited for
            StopRequest.running.add(trial.trial_id)
        self.failures.started(len(StopRequest.running))
        self.progress.started(_key(trial))
        self._notify(lambda observer: observer.started(_key(trial), trial.config["spec"]))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        key = _key(trial)
        if "start" in result:
            self.failures.position[key] = result["start"]
            self.failures.got_further()
        if result.get("status") == "retrying":
            self.progress.will_continue(key, str(result.get("error")))
        self.progress.reported(key, result)
        self._notify(lambda observer: observer.reported(key, result))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        StopRequest.running.discard(trial.trial_id)
        key, result = _key(trial), trial.last_result or {}
        status, error = result.get("status"), str(result.get("error"))
        if status == "done":
            self.progress.done(key, result)
            self._notify(lambda observer: observer.done(key, result))
            return
        if status == "failed":
            if key not in self.given_up:
                self._failed(key, error)
        elif status == "dense_weights_missing":
            self.dropped.add(key)
            self._worker_lost(trial, error, shown=error)
        elif status == "store_lost":
            StopRequest.make(error)
        elif status == "store_not_shared":
            StopRequest.make(error, user_error=True)
        self._notify(lambda observer: observer.interrupted(key))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        StopRequest.running.discard(trial.trial_id)
        error = _read_error(trial)
        self._worker_lost(trial, error, shown=describe_failure(error))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        StopRequest.running.discard(trial.trial_id)
        if _key(trial) in self.given_up:
            return
        self.dropped.add(_key(trial))
        error = _read_error(trial)
        self._worker_lost(trial, error, shown=describe_failure(error))

    def _worker_lost(self, trial: Any, error: str, *, shown: str) -> None:
        key = _key(trial)
        self._notify(lambda observer: observer.interrupted(key))
        if self.nodes:
            self.nodes.add(error)
        given_up = self.failures.add(key, error)
        if given_up:
            self._give_up(trial, given_up)
        else:
            # Its next worker waits so long before it opens the trial.
            pause = pause_before_retry(self.failures.count_at_this_point(key))
            trial.config["pause"] = pause
            after = f"; again in {pause:.0f} s" if pause else ""
            self.progress.will_continue(key, f"{shown}{after}")
        self._pause_where_all_are_lost(shown)

    def _give_up(self, trial: Any, reason: str) -> None:
        """End a trial here: no worker of it may live long enough to do so."""
        key = _key(trial)
        self.given_up.add(key)
        trial.max_failures = 0  # Tune starts it once more at most; its worker reads the record
        try:
            record_failure(self.store, key, reason)
        except StoreLost as lost:
            StopRequest.make(str(lost))
        self._failed(key, reason)

    def _pause_where_all_are_lost(self, shown: str) -> None:
        """Wait, with all else, where every worker was lost before any trial got further; in the end
        ask the study to stop."""
        rounds = self.failures.add_round()
        if rounds >= ROUNDS:
            StopRequest.make(
                f"all workers were lost {rounds} times in a row before any trial got further; "
                f"the last time: {shown}"
            )
        if pause := pause_before_retry(rounds):
            self.progress.say(f"no worker gets any further: waiting {pause:.0f} s")
            until = time.monotonic() + pause
            while time.monotonic() < until and not StopRequest.reason:
                time.sleep(0.1)

    def _failed(self, key: str, error: str) -> None:
        self.progress.failed(key, error, failure_file(key))
        self._notify(lambda observer: observer.failed(key, error))
        for child in self.children.get(key, ()):
            self.progress.not_run(child, key)

    def _notify(self, call: Callable[[Observer], None]) -> None:
        """Call all observers. One that fails is called no more, because an exception here would end
        the study."""
        for observer in list(self.observers):
            try:
                call(observer)
            except Exception as error:
                self.observers.remove(observer)
                reason = f"{type(observer).__name__}: {type(error).__name__}: {error}"
                self.progress.say(f"warning: {printable(reason)}; the study goes on without it")


def _key(trial: Any) -> str:
    return str(trial.config["key"])


def _read_error(trial: Any) -> str:
    """What is known of the end of a trial's worker: the newest entry of the trial's error file, and
    the crash that its log tells of."""
    try:
        text = Path(trial.error_file).read_text(errors="replace")
    except (OSError, TypeError):
        return ""
    newest = text.rpartition("Failure # ")[2].partition("\n")[2]
    error = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", newest).split())
    crash = find_crash(error, find_session_folder())
    return f"{error} Crash: {crash}" if crash else error
