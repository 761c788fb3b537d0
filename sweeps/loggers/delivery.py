"""The delivery of trials to one logger: what it has of which trial, and retries after it failed."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pruning.user_error import printable
from sweeps.loggers.base import Logger
from sweeps.loggers.logged_numbers import EpochNumbers
from trainables.storage import layout
from trainables.storage.store import Store

PAUSE = 60.0  # seconds after a failure before a logger is tried again


@dataclass
class TrialLog:
    """What is to be logged of a trial: its parameters, its epochs, the rows of its levels, and how
    it ended, if it did."""

    params: dict[str, str]
    epochs: list[EpochNumbers] = field(default_factory=list)
    levels: list[dict[str, Any]] = field(default_factory=list)
    done: bool = False
    error: str = ""


class Delivery:
    """One logger and what was delivered to it."""

    def __init__(self, logger: Logger, store: Store, say: Callable[[str], None]) -> None:
        self._logger, self._store, self._say = logger, store, say
        self._delivered: dict[str, int] = {}  # epochs, by key of the runs that are open
        self._ended: dict[str, str] = {}  # by key: the error it ended with, "" where it is done
        self._failed_at: float | None = None
        self._warned = self._given_up = False

    def list_logged(self) -> set[str]:
        """Keys of the trials that were logged to their end, by any launch."""
        name = self._logger.name
        paths = self._store.list(layout.logged_folder(name), ".json")
        return {layout.logged_key(name, path) for path in paths}

    def has_ended(self, key: str) -> bool:
        """Whether nothing of this trial is left to log."""
        return key in self._ended

    def reopen(self, key: str) -> None:
        """A trial that may have ended runs again."""
        self._ended.pop(key, None)

    def deliver(self, key: str, trial: TrialLog, *, last: bool) -> None:
        """Log what is new of a trial. After a failure this waits for a while, but not when it is
        the `last` time."""
        if (trial.done or trial.error) and self._ended.get(key) == trial.error:
            return
        failed_recently = self._failed_at is not None and time.monotonic() - self._failed_at < PAUSE
        if (failed_recently and not last) or self._given_up:
            return
        try:
            self._deliver(key, trial)
            self._failed_at = None
        except BaseException as error:
            # Whatever a package raises, SystemExit included: the study goes on.
            self._delivered.pop(key, None)
            self._failed_at, self._given_up = time.monotonic(), last
            if not self._warned:
                reason = printable(f"{type(error).__name__}: {error}")[:200]
                name = self._logger.name
                self._say(f"warning: --log {name}: {reason}; the study goes on without it")
            self._warned = True

    def _deliver(self, key: str, trial: TrialLog) -> None:
        if key not in self._delivered:
            self._delivered[key] = self._logger.begin(key, trial.params)
        if new := trial.epochs[self._delivered[key] :]:
            self._logger.log(key, new)
            self._delivered[key] += len(new)
        if trial.done or trial.error:
            self._logger.end(key, trial.levels, error=trial.error)
            del self._delivered[key]
            if trial.done:
                note = {"epochs": len(trial.epochs), "at": self._logger.place}
                path = layout.logged_file(self._logger.name, key)
                self._store.write(path, json.dumps(note).encode())
            self._ended[key] = trial.error

    def close(self, trials: Mapping[str, TrialLog]) -> None:
        """Close the runs of trials that have not ended."""
        for key in [key for key in self._delivered if key in trials]:
            try:
                self._logger.interrupt(key)
            except Exception:
                break  # the package says so itself, or it was warned of before; nothing is lost
