"""What the witnesses saw: which batches were computed, by which process, and which of them more
than once.

The measure of lost work is that of the computation itself: a batch is repeated if a later opening
of the same trial computes it again. What a process that was taken for dead computes after its trial
was opened elsewhere does not count as lost: nobody waited for it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path


@dataclass
class Opening:
    """One opening of a trial in a process, and the batches it computed: (unix time, fingerprint),
    in order."""

    pid: int
    key: str
    at: float
    batches: list[tuple[float, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Loss:
    """Batches that one opening computed and the next ones computed again.

    `began`, `ended`: when the first and the last of them began. `until`: when the last of them
    began again. `pause`: the longest time between two of them, in seconds.
    """

    pid: int
    key: str
    began: float
    ended: float
    until: float
    count: int
    pause: float

    @property
    def seconds(self) -> float:
        """Seconds of computation that were lost."""
        return self.ended - self.began


@dataclass(frozen=True)
class Evidence:
    """All that was written down in one folder, by time of opening."""

    openings: tuple[Opening, ...]

    @classmethod
    def read(cls, folder: Path) -> "Evidence":
        """The logs of all processes in a folder."""
        openings: list[Opening] = []
        for path in folder.glob("*.log"):
            now: Opening | None = None
            for line in path.read_text().splitlines():
                at, what, key = line.split(" ", 2)
                if what == "open":
                    now = Opening(int(path.stem), key, float(at))
                    openings.append(now)
                else:
                    assert now and now.key == key, f"{path}: a batch of {key} without an opening"
                    now.batches.append((float(at), what))
        return cls(tuple(sorted(openings, key=lambda opening: opening.at)))

    @cached_property
    def counts(self) -> Counter[tuple[str, str]]:
        """How often each batch was computed, by (key, fingerprint)."""
        return Counter(
            (opening.key, mark) for opening in self.openings for _, mark in opening.batches
        )

    @cached_property
    def by_key(self) -> dict[str, list[Opening]]:
        """Openings of each trial, by time."""
        found: dict[str, list[Opening]] = {}
        for opening in self.openings:
            found.setdefault(opening.key, []).append(opening)
        return found

    def losses(self) -> list[Loss]:
        """What had to be computed again, by opening."""
        found = []
        for key, openings in self.by_key.items():
            later: dict[str, float] = {}
            for this, following in reversed(list(pairwise(openings))):
                later |= {mark: at for at, mark in following.batches}
                lost = [
                    (at, later[mark])
                    for at, mark in this.batches
                    if at < following.at and mark in later
                ]
                if lost:
                    moments = [at for at, _ in lost]
                    pause = max((b - a for a, b in pairwise(moments)), default=0.0)
                    until = max(again for _, again in lost)
                    found.append(
                        Loss(this.pid, key, moments[0], moments[-1], until, len(lost), pause)
                    )
        return sorted(found, key=lambda loss: loss.until)

    def key_of(self, pid: int, at: float) -> str | None:
        """The trial a process had open at a moment."""
        opened = [
            opening.key for opening in self.openings if opening.pid == pid and opening.at <= at
        ]
        return opened[-1] if opened else None

    def progress(self, key: str, *, after: float, since: float) -> float | None:
        """When a trial first computed a batch that nobody had computed before `after`; None if it
        did not.

        Only batches that began at `since` or later count, and of processes that opened the trial
        after `after`, unless `since` is later: then the fault was one that processes outlive.
        """
        openings = self.by_key.get(key, [])
        return self._first(
            openings if since > after else [o for o in openings if o.at > after], after, since
        )

    def work(self, *, after: float, since: float) -> float | None:
        """The same of any trial, in a process that opened its first trial after `after`, or that
        outlived the fault."""
        born: dict[int, float] = {}
        for opening in self.openings:
            born.setdefault(opening.pid, opening.at)
        new = [opening for opening in self.openings if since > after or born[opening.pid] > after]
        return self._first(new, after, since)

    def _first(self, openings: Sequence[Opening], after: float, since: float) -> float | None:
        """When the first batch of some openings began that nobody had computed before `after`."""
        keys = {opening.key for opening in openings}
        known = {
            key: {mark for o in self.by_key[key] for at, mark in o.batches if at <= after}
            for key in keys
        }
        moments = [
            at
            for o in openings
            for at, mark in o.batches
            if at >= since and mark not in known[o.key]
        ]
        return min(moments, default=None)
