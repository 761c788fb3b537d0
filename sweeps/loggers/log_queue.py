"""The queue between a run and its loggers, TensorBoard, MLflow or Weights & Biases: `--log`.

Only the driver logs, in a thread of its own: workers need no package, and a logger that hangs or
fails holds up no trial. Steps are epochs and a trial is one run under its key, so one that goes on
after an interruption goes on in its run. What could not be logged is logged by a later launch,
because `logged/<logger>/<key>.json` records what was.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from pruning.user_error import printable
from sweeps.loggers.base import Logger
from sweeps.loggers.delivery import Delivery, TrialLog
from sweeps.loggers.logged_numbers import numbers_by_epoch
from sweeps.running.observer import Observer
from trainables.storage import layout, parquet_tables
from trainables.storage.store import Store
from trainables.trial_spec import TrialSpec

PATIENCE = 60.0  # seconds that the end of a launch waits for loggers


class LogQueue(Observer):
    """Passes what trials report on to everything that `--log` names, from one queue."""

    def __init__(self, loggers: list[Logger], store: Store, *, say: Callable[[str], None]) -> None:
        self._store, self._say = store, say
        self._deliveries = [Delivery(logger, store, say) for logger in loggers]
        self._trials: dict[str, TrialLog] = {}
        self._events: SimpleQueue[Callable[[], str] | None] = SimpleQueue()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loggers", daemon=True)
        self._thread.start()

    def started(self, key: str, spec: dict[str, Any]) -> None:
        """A trial starts, or starts again."""
        self._events.put(partial(self._start, key, spec))

    def reported(self, key: str, result: dict[str, Any]) -> None:
        """A trial reports epochs."""
        if rows := list(result.get("curve", ())):
            self._events.put(partial(self._add_epochs, key, int(result["curve_from"]), rows))

    def done(self, key: str, result: dict[str, Any]) -> None:
        """A trial is done; its numbers are read from the study directory."""
        self._events.put(partial(self._end, key))

    def failed(self, key: str, error: str) -> None:
        """A trial is given up."""
        self._events.put(partial(self._fail, key, error))

    def interrupted(self, key: str) -> None:
        """Nothing to log: a trial that starts again goes on in its run."""

    def log_finished_trials(self, specs: Mapping[str, TrialSpec], done: Iterable[str]) -> None:
        """Log trials that were done in earlier launches and not logged, or not to their end."""
        logged = [delivery.list_logged() for delivery in self._deliveries]
        for key in done:
            if not all(key in keys for keys in logged):
                self.started(key, specs[key].model_dump(mode="json"))
                self.done(key, {})

    def close(self) -> None:
        """Log what is left, for a minute at most, and close the loggers."""
        self._events.put(None)
        if not self._closed.wait(PATIENCE):
            self._say(
                "warning: the loggers of --log are too slow to wait for; "
                "the next launch logs what is missing"
            )

    # In the thread

    def _run(self) -> None:
        more = True
        while more:
            changed: dict[str, None] = {}  # in order
            for event in self._wait_for_events():
                if event is None:
                    more = False
                elif key := self._apply(event):
                    changed[key] = None
            for delivery in self._deliveries:
                for key in changed if more else self._trials:
                    delivery.deliver(key, self._trials[key], last=not more)
            for key in changed:
                ended = all(delivery.has_ended(key) for delivery in self._deliveries)
                if self._trials[key].done and ended:
                    del self._trials[key]
        for delivery in self._deliveries:
            delivery.close(self._trials)
        self._closed.set()

    def _wait_for_events(self) -> list[Callable[[], str] | None]:
        """The next event and all that have queued up behind it, to be logged at once."""
        events = [self._events.get()]
        while True:
            try:
                events.append(self._events.get_nowait())
            except Empty:
                return events

    def _apply(self, event: Callable[[], str]) -> str:
        """The key of the trial that an event changes; "" where the event could not be read."""
        try:
            return event()
        except Exception as error:
            reason = printable(f"{type(error).__name__}: {error}")
            self._say(f"warning: --log: {reason}; the study goes on")
            return ""

    def _start(self, key: str, spec: dict[str, Any]) -> str:
        known = self._trials.get(key)
        if known is None or known.done:
            self._trials[key] = TrialLog(describe_parameters(TrialSpec.model_validate(spec)))
        else:
            known.error = ""
        for delivery in self._deliveries:
            delivery.reopen(key)
        return key

    def _add_epochs(self, key: str, start: int, rows: list[dict[str, Any]]) -> str:
        trial = self._trials[key]
        if not start:  # the trial was opened anew and reports all from its first epoch on
            trial.epochs = []
        trial.epochs += numbers_by_epoch(rows, after=len(trial.epochs))
        return key

    def _fail(self, key: str, error: str) -> str:
        self._trials[key].error = error
        return key

    def _end(self, key: str) -> str:
        trial = self._trials[key]
        trial.epochs = numbers_by_epoch(self._read_rows(layout.CURVES, key))
        trial.levels = self._read_rows(layout.ROWS, key)
        trial.done = True
        return key

    def _read_rows(self, table: str, key: str) -> list[dict[str, Any]]:
        return list(parquet_tables.read_table(self._store, table, key).to_pylist())


def describe_parameters(spec: TrialSpec) -> dict[str, str]:
    """The parameters of a trial as text, which its run is labelled with."""
    columns = {
        name: str(value)
        for name, value in spec.columns().items()
        if value is not None and name != "knobs"
    }
    sparsity = f"{spec.sparsities[-1]:g}" if spec.sparsities else "own"
    knobs = {f"knobs.{name}": str(value) for name, value in spec.knobs.items()}
    return {**columns, "sparsity": sparsity, **knobs}
