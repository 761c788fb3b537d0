"""What a running study prints: one line per finished trial, plain enough for a log file and a slow
terminal."""

import time
from typing import Any

from pruning.user_error import printable
from sweeps.estimate.spent import Account
from sweeps.planning.trial_status import Spent
from sweeps.running.snapshot import Look

SECONDS_PER_ACCOUNT = 60.0  # between two lines that say what was spent


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
        titles: how the trials of the plan are called in the lines, by key.
        epochs: epochs that each trial to run will train, by key; the others have ended before this
            launch.
        account: keeps what trials cost; told of about once a minute.
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
        self._account, self._accounted = account, time.monotonic()
        self._titles = {key: printable(title) for key, title in titles.items()}
        self._failed = 0
        self._ended = set(titles) - set(epochs)
        self._left = dict(epochs)
        self._ahead = float(sum(epochs.values()))  # epochs of these that are still to train
        self._gained = 0.0  # epochs walked in this launch, and one for each trial that ended
        self._began: float | None = None
        self._seen: dict[str, float] = {}  # epochs of each trial that are done
        self._paced: dict[str, float] = {}  # of these, those its present attempt has trained
        self._started: dict[str, float] = {}
        self._modes: set[str] = set()  # precisions and devices that have been told of

    def say(self, line: str) -> None:
        """Print one line at once."""
        if not self.quiet:
            print(line, flush=True)

    def started(self, key: str) -> None:
        """A trial begins, or begins again on another worker."""
        now = time.monotonic()
        self._began = self._began or now
        self._started.setdefault(key, now)

    def moved(self, key: str, result: dict[str, Any]) -> None:
        """A trial reports how far it is."""
        gained = float(result.get("gained", result.get("epochs", 0)))
        self._gained += max(0.0, gained - self._paced.get(key, 0.0))
        self._paced[key] = gained
        seen = float(result.get("epochs", 0))
        if key in self._left:
            self._ahead -= seen - self._seen.get(key, 0.0)
        self._seen[key] = seen
        if "precision" in result:
            mode = f"training in {result['precision']}{', compiled,' if result['compiled'] else ''} on {result['device']}"
            if mode not in self._modes:
                self._modes.add(mode)
                self.say(f"{mode}: {self._titles.get(key, key)}")  # a search has no titles
        if self._account and "seconds" in result:
            self._account.put(key, Spent(result["seconds"], result["device"], result["epochs"]))

    def done(self, key: str, result: dict[str, Any]) -> None:
        """A trial is done."""
        self._end(key)
        top1 = result.get("top1")
        measured = f"top-1 {top1:6.2f} %  " if isinstance(top1, float) else ""
        self.say(
            f"{self._count()} {self._titles[key]}  {measured}{duration(self._elapsed(key))}{self._eta()}"
        )
        if (
            self._account
            and time.monotonic() - self._accounted >= SECONDS_PER_ACCOUNT
            and self._ahead
        ):
            self.say(
                f"spent: {self._account.told()}; to come: {self._account.told_ahead(self._ahead)}"
            )
            self._accounted = time.monotonic()

    def again(self, key: str, error: str) -> None:
        """A trial will go on from its last checkpoint after a fault or the loss of its worker."""
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
            self._ahead -= epochs - self._seen.get(key, 0.0)

    def _count(self) -> str:
        total = len(self._titles)
        return f"[{len(self._ended):{len(str(total))}d}/{total}]"

    def _elapsed(self, key: str) -> float:
        return time.monotonic() - self._started.get(key, time.monotonic())

    def look(self) -> Look:
        """How the launch stands now."""
        spent = self._account.told() if self._account and self._gained else ""
        if self._account and spent and (left := self._ahead):
            spent = f"{spent}; to come: {self._account.told_ahead(left)}"
        return Look(len(self._ended), len(self._titles), self._failed, self._seconds_left(), spent)

    def _eta(self) -> str:
        left = self._seconds_left()
        return "" if left is None else f"  ETA {duration(left)}"

    def _seconds_left(self) -> float | None:
        """Time left, from the pace of epochs in this launch; None where there is no pace yet or
        nothing left.

        A trial counts as one epoch more than it trains: it also opens, prunes and measures.
        """
        left = self._ahead + len(self._left)
        if not self._left or not self._gained or self._began is None:
            return None
        return left * (time.monotonic() - self._began) / self._gained
