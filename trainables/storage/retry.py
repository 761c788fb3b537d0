"""When a study directory does not answer: try again for a while, then say in one line what is lost
and what to do."""

import os
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = (
    60.0  # seconds of trying again after the first failure; PRUNING_STORE_PATIENCE overrides it
)
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 8.0  # seconds between two tries; doubled each time

_jitter = random.Random()  # not the global generator: an outage must not change what a trial draws
_Result = TypeVar("_Result")


class StoreLost(OSError):
    """The study directory cannot be used any more: one line says what, where and what to do. Files
    in it are whole."""


class StoreUnreachable(StoreLost):
    """It did not answer, or only with errors that usually pass, for as long as patience lasts."""


class StoreFull(StoreLost):
    """The disk or the quota is used up."""


class StoreForbidden(StoreLost):
    """Permission is denied, the credentials are wrong, or there is no such bucket."""


class StoreReadOnly(StoreLost):
    """The file system takes no writes."""


_ADVICE: dict[type[StoreLost], str] = {
    StoreUnreachable: "{place} did not answer for {patience:.0f} s ({cause}): run the same command again when it does",
    StoreFull: "the disk or quota that holds {place} is full ({cause}): free space and run the same command again",
    StoreForbidden: "{place} cannot be used ({cause}): check its name, permissions and credentials, "
    "and run the same command again",
    StoreReadOnly: "{place} cannot be written ({cause}): make it writable and run the same command again",
}


def patience() -> float:
    """Seconds to go on trying after a first failure."""
    return float(os.environ.get("PRUNING_STORE_PATIENCE") or PATIENCE)


def persist(
    action: Callable[[], _Result], place: str, *, judge: Callable[[OSError], type[StoreLost] | None]
) -> _Result:
    """The result of an action on a store, tried again with growing pauses while it fails for
    reasons that pass.

    Args:
        action: what to do; safe to do twice.
        place: where, for the message.
        judge: what an error means. StoreUnreachable: try again; another kind: the store is lost at
            once; None: the error says nothing about the store (a missing file) and is raised as it
            is.

    Raises:
        StoreLost: the store is lost.
    """
    pause, deadline = FIRST_PAUSE, None
    while True:
        try:
            return action()
        except OSError as error:
            kind = judge(error)
            if kind is None:
                raise
            now = time.monotonic()
            deadline = now + patience() if deadline is None else deadline
            if kind is not StoreUnreachable or now + pause > deadline:
                cause = re.sub(
                    "^When .*?: |; Details: .*", "", " ".join(str(error.strerror or error).split())
                )[:160]
                advice = _ADVICE[kind].format(place=place, patience=patience(), cause=cause)
                raise kind(f"{advice}; finished rows are safe") from error
        time.sleep(pause * _jitter.uniform(0.5, 1.0))
        pause = min(2 * pause, LONGEST_PAUSE)
