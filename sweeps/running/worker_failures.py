"""Failures of workers: what took a worker, and when a trial that keeps losing its worker is given
up.

A machine that is taken away, or that cannot run trials, says nothing about the trial. A worker
that runs out of memory, or dies again and again without its trial getting any further, is most
likely killed by the trial itself, and would be killed for ever.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from trainables.ray_trainable import MEMORY_ADVICE

Cause = Literal["left", "unfit", "crowded", "node", "memory", "process"]

_SIGNS: dict[Cause, str] = {
    "left": r"\bLeaving\b|[Pp]reempted",
    "unfit": r"\bNodeUnfit\b",
    "crowded": r"\bNodeCrowded\b",
    "memory": r"OutOfMemoryError|running low on memory",
    "node": r"node (has )?died|node (was|is) (terminated|dead|removed)|NodeDied|lost node"
    r"|missed too many heartbeats",
}
_DESCRIPTIONS: dict[Cause, str] = {
    "left": "its machine is being taken away",
    "unfit": "its node cannot run it",
    "crowded": "others take its share of the GPU's memory",
    "memory": "Ray ended its worker because the machine ran out of memory",
    "node": "its machine is gone",
    "process": "its worker died",
}
# Failures at one position of a trial after which it is given up, by their cause.
LIMITS: dict[Cause, int] = {"memory": 3, "process": 5, "node": 10}


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
    detail = re.search(r"Worker exit detail: (.*?)(?: Some common causes|$)", error) or re.search(
        r"(\w+Error: .*)", error
    )
    return f"{_DESCRIPTIONS[cause]} ({(detail[1] if detail else error)[:200].rstrip('. ')})"


@dataclass
class WorkerFailures:
    """The failures of workers in one launch.

    position: the number of steps after which each trial was last opened, by key; a trial that is
    opened further on has got ahead since the last failure.
    """

    position: dict[str, int] = field(default_factory=dict)
    _counts: dict[tuple[str, int, Cause], int] = field(default_factory=dict)

    def add(self, key: str, error: str) -> str | None:
        """Count one more failure; the reason to give the trial up, if it has had too many without
        getting further."""
        cause = find_cause(error)
        if cause not in LIMITS:
            return None
        place = (key, self.position.get(key, 0), cause)
        self._counts[place] = count = self._counts.get(place, 0) + 1
        if count < LIMITS[cause]:
            return None
        advice = f"; {MEMORY_ADVICE}" if cause == "memory" else ""
        return (
            f"its worker was lost {count} times at the same point; "
            f"the last time: {describe_failure(error)}{advice}"
        )
