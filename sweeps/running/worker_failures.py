"""Failures of workers: what took a worker, and when a trial that keeps losing its worker is given
up.

A machine that is taken away, or that cannot run trials, says nothing about the trial. A worker
that runs out of memory, or dies again and again without its trial getting any further, is most
likely killed by the trial itself, and would be killed for ever. Every retry has a bound and a pause
that grows; where all workers die before any trial gets further, the machine is at fault, and the
study stops.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from trainables.ray_trainable import MEMORY_ADVICE

Cause = Literal["left", "unfit", "crowded", "weights", "node", "memory", "process"]

_SIGNS: dict[Cause, str] = {
    "left": r"\bLeaving\b|[Pp]reempted",
    "unfit": r"\bNodeUnfit\b",
    "crowded": r"\bNodeCrowded\b",
    "weights": r"holds no valid weights",
    "memory": r"OutOfMemoryError|running low on memory",
    "node": r"node (has )?died|node (was|is) (terminated|dead|removed)|NodeDied|lost node"
    r"|missed too many heartbeats",
}
_DESCRIPTIONS: dict[Cause, str] = {
    "left": "its machine is being taken away",
    "unfit": "its node cannot run it",
    "crowded": "others take its share of the GPU's memory",
    "weights": "the weights of its dense training cannot be read",
    "memory": "Ray ended its worker because the machine ran out of memory",
    "node": "its machine is gone",
    "process": "its worker died",
}
# Failures at one position of a trial after which it is given up, by their cause. Those of machines
# say nothing of the trial; their limits only keep a study from going round for ever.
LIMITS: dict[Cause, int] = {
    "weights": 3,
    "memory": 3,
    "process": 5,
    "node": 10,
    **dict.fromkeys(("left", "unfit", "crowded"), 100),
}
LONGEST_PAUSE = 30.0  # seconds; pauses are doubled from 1 s at the second failure in a row
ROUNDS = 8  # in which every worker ended before any trial got further; then the study stops


def find_cause(error: str) -> Cause:
    """What took a worker, from what Ray says of its end."""
    return next((cause for cause, signs in _SIGNS.items() if re.search(signs, error)), "process")


def describe_failure(error: str) -> str:
    """The failure of a worker in one short line."""
    cause = find_cause(error)
    if cause == "unfit" and (fault := re.search(r"NodeUnfit: node \w+ (\(.*)", error)):
        return f"{_DESCRIPTIONS[cause]} {fault[1][:200]}"
    if cause != "process":
        return _DESCRIPTIONS[cause]
    signs = (
        r" Crash: (.*)$",
        r"Worker exit detail: (.*?)(?: Some common causes|$)",
        r"(\w+Error: .*)",
    )
    found = next((detail[1] for sign in signs if (detail := re.search(sign, error))), error)
    return f"{_DESCRIPTIONS[cause]} ({found[:200].rstrip('. ')})"


def pause_before_retry(failures: int) -> float:
    """Seconds to wait before a retry, after so many failures in a row."""
    return 0.0 if failures < 2 else min(LONGEST_PAUSE, 2.0 ** (failures - 2))


@dataclass
class WorkerFailures:
    """The failures of workers in one launch.

    position: the number of steps after which each trial was last opened, by key; a trial that is
    opened further on has got ahead since the last failure. in_a_row: failures of all trials since
    one of them has got further; side_by_side: the most trials that ran at once in that time.
    """

    position: dict[str, int] = field(default_factory=dict)
    in_a_row: int = 0
    side_by_side: int = 1
    _counts: dict[tuple[str, int, Cause], int] = field(default_factory=dict)

    def add(self, key: str, error: str) -> str | None:
        """Count one more failure; the reason to give the trial up, if it has had too many without
        getting further."""
        cause = find_cause(error)
        place = (key, self.position.get(key, 0), cause)
        self._counts[place] = count = self._counts.get(place, 0) + 1
        if count < LIMITS[cause]:
            return None
        if cause == "weights":
            return f"{_DESCRIPTIONS[cause]}, after {count} tries: {error[:200]}"
        advice = f"; {MEMORY_ADVICE}" if cause == "memory" else ""
        return (
            f"its worker was lost {count} times at the same point; "
            f"the last time: {describe_failure(error)}{advice}"
        )

    def count_at_this_point(self, key: str) -> int:
        """Failures of a trial, by any cause, since it has got further."""
        here = (key, self.position.get(key, 0))
        return sum(count for place, count in self._counts.items() if place[:2] == here)

    def started(self, running: int) -> None:
        """Take note of how many trials run now."""
        self.side_by_side = max(self.side_by_side, running)

    def got_further(self) -> None:
        """Take note that a worker has trained: the machines are not at fault."""
        self.in_a_row, self.side_by_side = 0, 1

    def add_round(self) -> int:
        """Count one more failure of any trial; the number of rounds in which all that ran were
        lost, where this failure ends a round, else 0."""
        self.in_a_row += 1
        rounds, rest = divmod(self.in_a_row, self.side_by_side)
        return 0 if rest else rounds
