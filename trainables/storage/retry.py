"""Retry with exponential backoff: for a study directory that does not answer for a while.

Errors that usually pass, such as those of a network disk or a bucket, are retried with pauses that
double each time and are drawn at random between half and the whole of their length. Where retrying
does not help, `StoreLost` says in one line what is wrong and what to do.
"""

import os
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

# Seconds of retrying after the first failure; PRUNING_STORE_PATIENCE overrides it.
PATIENCE = 60.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 8.0  # seconds between two attempts; doubled each time

# Not the global generator: a failing store must not change what a trial draws.
_jitter = random.Random()
_Result = TypeVar("_Result")


class StoreLost(OSError):
    """The study directory cannot be used any more: one line says what is wrong, where, and what to
    do. Files in it are whole."""


class StoreUnreachable(StoreLost):
    """It did not answer, or only with errors that usually pass, for as long as was retried."""


class StoreFull(StoreLost):
    """The disk or the quota is used up."""


class StoreForbidden(StoreLost):
    """Permission is denied, the credentials are wrong, or there is no such bucket."""


class StoreReadOnly(StoreLost):
    """The file system takes no writes."""


_ADVICE: dict[type[StoreLost], str] = {
    StoreUnreachable: "{place} did not answer for {patience:.0f} s ({cause}): "
    "run the same command again when it does",
    StoreFull: "the disk or quota that holds {place} is full ({cause}): "
    "free space and run the same command again",
    StoreForbidden: "{place} cannot be used ({cause}): "
    "check its name, permissions and credentials, and run the same command again",
    StoreReadOnly: "{place} cannot be written ({cause}): "
    "make it writable and run the same command again",
}


def retry_seconds() -> float:
    """Seconds to retry after a first failure."""
    return float(os.environ.get("PRUNING_STORE_PATIENCE") or PATIENCE)


def retry_with_backoff(
    action: Callable[[], _Result],
    place: str,
    *,
    classify: Callable[[OSError], type[StoreLost] | None],
) -> _Result:
    """The result of an action on a store, retried with exponential backoff while it fails for
    reasons that usually pass.

    Args:
        action: what to do; safe to do twice.
        place: where, for the message.
        classify: what an error means. StoreUnreachable: retry; another kind: the store is lost at
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
            kind = classify(error)
            if kind is None:
                raise
            now = time.monotonic()
            deadline = now + retry_seconds() if deadline is None else deadline
            if kind is not StoreUnreachable or now + pause > deadline:
                raise kind(_advise(kind, place, error)) from error
        time.sleep(pause * _jitter.uniform(0.5, 1.0))
        pause = min(2 * pause, LONGEST_PAUSE)


def _advise(kind: type[StoreLost], place: str, error: OSError) -> str:
    """The line that says what is wrong and what to do."""
    reason = " ".join(str(error.strerror or error).split())
    cause = re.sub("^When .*?: |; Details: .*", "", reason)[:160]
    advice = _ADVICE[kind].format(place=place, patience=retry_seconds(), cause=cause)
    return f"{advice}; finished rows are safe"
