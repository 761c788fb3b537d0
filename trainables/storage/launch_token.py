"""The token of a launch: a file in the study directory by which every worker proves, before it
trains, that the directory it sees is the driver's.

A folder on the driver's disk has the same path on other machines and is another folder there: rows
written into that one would be lost with the machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from trainables.storage import layout
from trainables.storage.store import Store, StoreLost
from trainables.storage.visibility import lag_seconds, wait_until_seen

# That a worker waits at least for the token, on whatever disk: the driver may look at another kind
# of disk than the worker does.
SECONDS = 5.0


@contextmanager
def launch_token(store: Store) -> Iterator[str]:
    """Write the token of a launch, and delete it at the launch's end; those that killed drivers
    left behind are deleted, too. Only the holder of the lease may launch."""
    for left in store.list(layout.LAUNCHES):
        store.delete(left)
    token = uuid4().hex
    store.write(layout.launch_file(token), b"")
    try:
        yield token
    finally:
        with suppress(StoreLost):
            store.delete(layout.LAUNCHES)


def sees_launch(store: Store, token: str) -> bool:
    """Whether this process sees the study directory in which a launch wrote its token.

    The file is asked for by a name that nobody has asked for before, so no cache of a network disk
    holds an older answer; still it is waited for.
    """
    path = layout.launch_file(token)
    seconds = max(SECONDS, lag_seconds(store.uri) / 4)
    return bool(wait_until_seen(lambda: store.exists(path) or None, seconds))
