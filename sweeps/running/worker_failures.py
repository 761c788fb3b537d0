"""Lost workers: what each loss says of the trial, and when a trial that keeps losing its worker is
given up.

A machine that is taken away is nobody's fault. A worker that runs out of memory, or dies again and
again without its trial getting any further, is most likely killed by the trial itself, and would be
killed for ever.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from trainables.ray_trainable import MEMORY_ADVICE

Cause = Literal["left", "node", "memory", "process"]

_SIGNS: dict[Cause, str] = {
    "left": r"\bLeaving\b|[Pp]reempted",
    "memory": r"OutOfMemoryError|running low on memory",
    "node": r"node (has )?died|node (was|is) (terminated|dead|removed)|NodeDied|lost node|missed too many heartbeats",
}
_WORDS: dict[Cause, str] = {
    "left": "its machine is being taken away",
    "memory": "Ray ended its worker because the machine ran out of memory",
    "node": "its machine is gone",
    "process": "its worker died",
}
LIMITS: dict[Cause, int] = {
    "memory": 3,
    "process": 5,
    "node": 10,
}  # losses at one point of a trial, by their cause


def find_cause(error: str) -> Cause:
    """What took a worker, from what Ray says of its end."""
    return next((cause for cause, signs in _SIGNS.items() if re.search(signs, error)), "process")


def tell(error: str) -> str:
    """A loss in one short line."""
    cause = find_cause(error)
    if cause != "process":
        return _WORDS[cause]
    detail = re.search(r"Worker exit detail: (.*?)(?: Some common causes|$)", error) or re.search(
        r"(\w+Error: .*)", error
    )
    return f"{_WORDS[cause]} ({(detail[1] if detail else error)[:200].rstrip('. ')})"


@dataclass
class Losses:
    """The workers that the trials of one launch have lost.

    start: the position at which each trial was last seen to be opened, by key.
    """

    start: dict[str, int] = field(default_factory=dict)
    _counts: dict[tuple[str, int, Cause], int] = field(default_factory=dict)

    def add(self, key: str, error: str) -> str | None:
        """Count one more loss; the reason to give the trial up, if it has lost too many without
        getting further."""
        cause = find_cause(error)
        if cause not in LIMITS:
            return None
        place = (key, self.start.get(key, 0), cause)
        self._counts[place] = count = self._counts.get(place, 0) + 1
        if count < LIMITS[cause]:
            return None
        advice = f"; {MEMORY_ADVICE}" if cause == "memory" else ""
        return f"its worker was lost {count} times at the same point; the last time: {tell(error)}{advice}"
