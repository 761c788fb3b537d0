"""Passes what trials report on to TensorBoard, MLflow or Weights & Biases: `--log`.

Only the driver logs, in a thread of its own: workers need no package, and a logger that hangs or
fails holds up no trial. Steps are epochs and a trial is one run under its key, so one that goes on
after an interruption goes on in its run. What could not be logged is logged by a later launch,
because `logged/<logger>/<key>.json` says what was.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from pruning.user_error import printable
from sweeps.loggers.epochs import Point, read_points
from sweeps.loggers.selection import FOLDER, Sink
from sweeps.running.observer import Watcher
from trainables.storage import parquet_tables
from trainables.storage.store import Store
from trainables.trial_spec import TrialSpec

PAUSE = 60.0  # seconds after a failure in which a logger is left alone
PATIENCE = 60.0  # seconds that the end of a launch waits for loggers


@dataclass
class Trace:
    """What is known of a trial: its parameters, its course, the rows of its levels, and how it
    ended, if it did."""

    params: dict[str, str]
    points: list[Point] = field(default_factory=list)
    levels: list[dict[str, Any]] = field(default_factory=list)
    done: bool = False
    error: str = ""


class Loggers(Watcher):
    """Everything that `--log` names, fed from one queue."""

    def __init__(self, sinks: list[Sink], store: Store, *, say: Callable[[str], None]) -> None:
        self._store, self._say = store, say
        self._posts = [_Post(sink, store, say) for sink in sinks]
        self._traces: dict[str, Trace] = {}
        self._events: SimpleQueue[Callable[[], str] | None] = SimpleQueue()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loggers", daemon=True)
        self._thread.start()

    def __reduce__(self) -> Any:  # Tune writes what it is given to a file that nobody reads
        return str, ("loggers",)

    def started(self, key: str, spec: dict[str, Any]) -> None:
        """A trial begins, or begins again."""
        self._events.put(partial(self._start, key, spec))

    def moved(self, key: str, result: dict[str, Any]) -> None:
        """A trial reports epochs."""
        if result.get("curve"):
            self._events.put(
                partial(self._move, key, int(result["curve_from"]), list(result["curve"]))
            )

    def done(self, key: str, result: dict[str, Any]) -> None:
        """A trial is done; its numbers are read from the study directory."""
        self._events.put(partial(self._end, key))

    def failed(self, key: str, error: str) -> None:
        """A trial is given up."""
        self._events.put(partial(self._fail, key, error))

    def left(self, key: str) -> None:
        """Nothing to log: a trial that begins again goes on in its run."""

    def fill(self, specs: Mapping[str, TrialSpec], done: Iterable[str]) -> None:
        """Log trials that were done in earlier launches and not logged, or not to their end."""
        logged = [post.logged() for post in self._posts]
        for key in done:
            if not all(key in one for one in logged):
                self.started(key, specs[key].model_dump(mode="json"))
                self.done(key, {})

    def close(self) -> None:
        """Log what is left, for a minute at most, and let the loggers go."""
        self._events.put(None)
        if not self._closed.wait(PATIENCE):
            self._say(
                "warning: the loggers of --log are too slow to wait for; the next launch logs what is missing"
            )

    def _run(self) -> None:
        more = True
        while more:
            events = [self._events.get()]
            changed: dict[str, None] = {}  # in order
            while True:  # whatever has queued up meanwhile is logged at once
                try:
                    events.append(self._events.get_nowait())
                except Empty:
                    break
            for event in events:
                if event is None:
                    more = False
                elif key := self._apply(event):
                    changed[key] = None
            for post in self._posts:
                for key in changed if more else self._traces:
                    post.send(key, self._traces[key], last=not more)
            for key in changed:
                if self._traces[key].done and all(post.has_ended(key) for post in self._posts):
                    del self._traces[key]
        for post in self._posts:
            post.close(self._traces)
        self._closed.set()

    def _apply(self, event: Callable[[], str]) -> str:
        """The key of the trial that an event is about; "" where the event could not be read."""
        try:
            return event()
        except Exception as error:
            self._say(
                f"warning: --log: {printable(f'{type(error).__name__}: {error}')}; the study goes on"
            )
            return ""

    def _start(self, key: str, spec: dict[str, Any]) -> str:
        known = self._traces.get(key)
        if known is None or known.done:
            self._traces[key] = Trace(tell(TrialSpec.model_validate(spec)))
        else:
            known.error = ""
        for post in self._posts:
            post.open_again(key)
        return key

    def _move(self, key: str, start: int, rows: list[dict[str, Any]]) -> str:
        trace = self._traces[key]
        if not start:  # the trial was opened anew and tells all from its first epoch on
            trace.points = []
        trace.points += read_points(rows, after=len(trace.points))
        return key

    def _fail(self, key: str, error: str) -> str:
        self._traces[key].error = error
        return key

    def _end(self, key: str) -> str:
        trace = self._traces[key]
        trace.points = read_points(self._read("curves", key))
        trace.levels = self._read("rows", key)
        trace.done = True
        return key

    def _read(self, table: str, key: str) -> list[dict[str, Any]]:
        named = (
            key if table == "rows" else None
        )  # of a course without epochs there are no rows to name it
        return list(
            parquet_tables.decode(
                table, self._store.read(f"{table}/{key}.parquet"), key=named
            ).to_pylist()
        )


class _Post:
    """One logger, what it has of which trial, and since when it is left alone."""

    def __init__(self, sink: Sink, store: Store, say: Callable[[str], None]) -> None:
        self._sink, self._store, self._say = sink, store, say
        self._has: dict[str, int] = {}  # epochs, by key of the trials that are begun
        self._ended: dict[str, str] = {}  # by key: the error it ended with, "" where it is done
        self._failed_at: float | None = None
        self._warned = self._given_up = False

    def logged(self) -> set[str]:
        """Keys of the trials that were logged to their end."""
        before = f"{FOLDER}/{self._sink.name}/"
        return {
            path.removeprefix(before).removesuffix(".json")
            for path in self._store.list(before[:-1], ".json")
        }

    def has_ended(self, key: str) -> bool:
        """Whether nothing of this trial is left to log."""
        return key in self._ended

    def open_again(self, key: str) -> None:
        """Take a trial that had ended for one that has not: it runs again."""
        self._ended.pop(key, None)

    def send(self, key: str, trace: Trace, *, last: bool) -> None:
        """Log what is new of a trial; the `last` time also after a failure a moment ago."""
        if (trace.done or trace.error) and self._ended.get(key) == trace.error:
            return
        failed = (
            self._failed_at is not None and not last and time.monotonic() - self._failed_at < PAUSE
        )
        if failed or self._given_up:
            return
        try:
            self._send(key, trace)
            self._failed_at = None
        except (
            BaseException
        ) as error:  # whatever a package may raise, a SystemExit included: the study goes on
            self._has.pop(key, None)
            self._failed_at, self._given_up = time.monotonic(), last
            if not self._warned:
                reason = printable(f"{type(error).__name__}: {error}")[:200]
                self._say(
                    f"warning: --log {self._sink.name}: {reason}; the study goes on without it"
                )
            self._warned = True

    def _send(self, key: str, trace: Trace) -> None:
        if key not in self._has:
            self._has[key] = self._sink.begin(key, trace.params)
        if new := trace.points[self._has[key] :]:
            self._sink.log(key, new)
            self._has[key] += len(new)
        if trace.done or trace.error:
            self._sink.end(key, trace.levels, error=trace.error)
            del self._has[key]
            if trace.done:
                where = {"epochs": len(trace.points), "at": self._sink.place}
                self._store.write(
                    f"{FOLDER}/{self._sink.name}/{key}.json", json.dumps(where).encode()
                )
            self._ended[key] = trace.error

    def close(self, traces: Mapping[str, Trace]) -> None:
        """Let go of the trials that have not ended."""
        for key in [key for key in self._has if key in traces]:
            try:
                self._sink.leave(key)
            except Exception:
                break  # it has been told of, or is being told of by the package itself; nothing is lost by it


def tell(spec: TrialSpec) -> dict[str, str]:
    """What a run is labelled with: the parameters of a trial as text."""
    columns = {
        name: str(value)
        for name, value in spec.columns().items()
        if value is not None and name != "knobs"
    }
    sparsity = f"{spec.sparsities[-1]:g}" if spec.sparsities else "own"
    return {
        **columns,
        "sparsity": sparsity,
        **{f"knobs.{name}": str(value) for name, value in spec.knobs.items()},
    }
