"""The progress of a running study: one printed line per finished trial, plain enough for a log file
and a slow terminal."""

import time
from typing import Any

from pruning.user_error import printable
from sweeps.estimate.spent import Account
from sweeps.planning.trial_status import DeviceTime
from sweeps.running.snapshot import Snapshot

SECONDS_PER_ACCOUNT = 60.0  # between two lines on what was spent


def duration(seconds: float) -> str:
    """Seconds in words: 42 s, 12 min, 3 h 05 min, 2 d 4 h."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


class Progress:
    """Counts trials and epochs of one launch and prints a line whenever a trial ends.

    Args:
        titles: the names of the plan's trials in the printed lines, by key.
        epochs: epochs that each trial to run will train, by key; the others have ended before this
            launch.
        account: keeps what trials cost; printed about once a minute.
    """

    def __init__(
        self,
        titles: dict[str, str],
        epochs: dict[str, int],
        *,
        account: Account | None = None,
        quiet: bool = False,
    ) -> None:
        self.quiet = quiet
        self.done_keys: set[str] = set()  # of trials that this launch has finished
        self._account, self._accounted = account, time.monotonic()
        self._titles = {key: printable(title) for key, title in titles.items()}
        self._failed = 0
        self._ended = set(titles) - set(epochs)
        self._left = dict(epochs)
        self._epochs_left = float(sum(epochs.values()))  # that these still have to train
        # Epochs trained in this launch, and one for each trial that ended.
        self._gained = 0.0
        self._began: float | None = None
        self._trained: dict[str, float] = {}  # epochs of each trial, in all launches
        self._trained_now: dict[str, float] = {}  # of these, those of its present attempt
        self._started: dict[str, float] = {}
        self._modes: set[str] = set()  # precisions and devices that have been printed

    def say(self, line: str) -> None:
        """Print one line at once."""
        if not self.quiet:
            print(line, flush=True)

    def started(self, key: str) -> None:
        """A trial starts, or starts again on another worker."""
        now = time.monotonic()
        self._began = self._began or now
        self._started.setdefault(key, now)

    def reported(self, key: str, result: dict[str, Any]) -> None:
        """A trial reports how far it is."""
        gained = float(result.get("gained", result.get("epochs", 0)))
        self._gained += max(0.0, gained - self._trained_now.get(key, 0.0))
        self._trained_now[key] = gained
        trained = float(result.get("epochs", 0))
        if key in self._left:
            self._epochs_left -= trained - self._trained.get(key, 0.0)
        self._trained[key] = trained
        if "precision" in result:
            compiled = ", compiled," if result["compiled"] else ""
            mode = f"training in {result['precision']}{compiled} on {result['device']}"
            if mode not in self._modes:
                self._modes.add(mode)
                self.say(f"{mode}: {self._titles.get(key, key)}")  # a search has no titles
        placement = str(result.get("images", ""))
        if placement and (kind := placement.partition(":")[0]) not in self._modes:
            self._modes.add(kind)
            self.say(placement)
        if self._account and "seconds" in result:
            self._account.record(
                key, DeviceTime(result["seconds"], result["device"], result["epochs"])
            )

    def done(self, key: str, result: dict[str, Any]) -> None:
        """A trial is done."""
        self._end(key)
        self.done_keys.add(key)
        top1 = result.get("top1")
        measured = f"top-1 {top1:6.2f} %  " if isinstance(top1, float) else ""
        took = duration(self._elapsed(key))
        self.say(f"{self._count()} {self._titles[key]}  {measured}{took}{self._eta()}")
        if (
            self._account
            and time.monotonic() - self._accounted >= SECONDS_PER_ACCOUNT
            and self._epochs_left
        ):
            to_come = self._account.describe_ahead(self._epochs_left)
            self.say(f"spent: {self._account.describe()}; to come: {to_come}")
            self._accounted = time.monotonic()

    def will_continue(self, key: str, error: str) -> None:
        """A trial will continue from its last checkpoint after an error or a lost worker."""
        self.say(f"{self._count()} {self._titles[key]}  will go on: {printable(error)}")

    def failed(self, key: str, error: str, path: str) -> None:
        """A trial is given up."""
        self._end(key)
        self._failed += 1
        self.say(f"{self._count()} {self._titles[key]}  FAILED: {printable(error)}  ({path})")

    def not_run(self, key: str, parent: str) -> None:
        """A trial cannot run, because the one it needs failed."""
        self._end(key)
        self._failed += 1
        self.say(f"{self._count()} {self._titles[key]}  not run, because {parent} failed")

    def _end(self, key: str) -> None:
        self._ended.add(key)
        epochs = self._left.pop(key, None)
        if epochs is not None:
            self._gained += 1
            self._epochs_left -= epochs - self._trained.get(key, 0.0)

    def _count(self) -> str:
        total = len(self._titles)
        return f"[{len(self._ended):{len(str(total))}d}/{total}]"

    def _elapsed(self, key: str) -> float:
        return time.monotonic() - self._started.get(key, time.monotonic())

    def snapshot(self) -> Snapshot:
        """How the launch stands now."""
        spent = self._account.describe() if self._account and self._gained else ""
        if self._account and spent and (left := self._epochs_left):
            spent = f"{spent}; to come: {self._account.describe_ahead(left)}"
        return Snapshot(
            ended=len(self._ended),
            total=len(self._titles),
            failed=self._failed,
            eta=self._seconds_left(),
            spent=spent,
        )

    def _eta(self) -> str:
        left = self._seconds_left()
        return "" if left is None else f"  ETA {duration(left)}"

    def _seconds_left(self) -> float | None:
        """Time left, from the time that an epoch has taken in this launch; None before the first
        epoch, and where nothing is left.

        A trial counts as one epoch more than it trains: it also opens, prunes and measures.
        """
        left = self._epochs_left + len(self._left)
        if not self._left or not self._gained or self._began is None:
            return None
        return left * (time.monotonic() - self._began) / self._gained
