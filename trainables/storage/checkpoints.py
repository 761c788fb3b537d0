"""States on disk: checkpoints of trials, weights for other trials and saved networks.

A state is a dict of tensors and plain values, written by `torch.save` under the name
`<kind>-<n>-<checksum>.pt`, where the checksum is the start of the SHA-256 of its content
(`layout.py`). So a half-written or damaged file is distinguished from a whole one: its content does
not match the checksum in its name. Such a file is passed over with a warning, and the newest whole
state before it is read instead. Nothing is ever unpickled that could run code
(`weights_only=True`).

Checkpoints are of the kind `step`, with n = 1,000,000 x steps + batches of the epoch under way;
weights for other trials are of the kind `epoch`, saved networks of the kind `level`. When one is
written is decided in `trainables/trial.py`. A file beside the checkpoints of a trial names the last
one: a network disk may not list it yet on the machine where the trial goes on.

Imports torch only where a state is read or written: a command that runs trials on a cluster does
neither.
"""

import hashlib
import io
import warnings
from collections.abc import Callable, Collection
from typing import Any

from trainables.storage import layout
from trainables.storage.layout import StateName
from trainables.storage.store import Store

CHECKPOINT = "step"  # the kind of states of which a file names the last one


class UnusableState(ValueError):
    """A file from which nothing can continue; the message says why."""


def publish_state(
    store: Store, folder: str, kind: str, number: int, state: dict[str, Any], *, digits: int = 6
) -> str:
    """Write a state into a folder under its number (a position, an epoch or a level); returns its
    path. Readers see the whole file or none."""
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    path = layout.state_file(folder, kind, number, _checksum(content), digits=digits)
    store.write(path, content)
    if kind == CHECKPOINT:
        store.write(layout.newest_file(folder), path.encode())
    return path


def read_newest_state(
    store: Store,
    folder: str,
    kind: str,
    number: int | None = None,
    *,
    accept: Callable[[dict[str, Any]], bool] = lambda state: True,
) -> tuple[str, dict[str, Any]] | None:
    """Path and content of the newest whole state of a kind, or of that number; None where there is
    none.

    A file that is gone, does not match its checksum, holds anything but tensors and plain values,
    or is not accepted is passed over with a warning.
    """
    for name, path in reversed(_list_states(store, folder, kind)):
        if number is not None and name.number != number:
            continue
        try:
            state = _load_state(store, name, path)
            if not isinstance(state, dict) or not accept(state):
                raise UnusableState("was written by another version")
            return path, state
        except UnusableState as error:
            warnings.warn(f"{path}: {error}; passed over", stacklevel=2)
    return None


def list_state_numbers(store: Store, folder: str, kind: str) -> set[int]:
    """Numbers of the states of a kind that have been published; their content is not checked."""
    return {name.number for name, _ in _list_states(store, folder, kind)}


def delete_older_states(
    store: Store, folder: str, kind: str, number: int, *, keep: Collection[str]
) -> None:
    """Delete the states of a kind up to a number, except those at the paths to keep.

    Later ones may be a predecessor's that still runs, and are as good.
    """
    for name, path in _list_states(store, folder, kind):
        if name.number <= number and path not in keep:
            store.delete(path)


def delete_states(store: Store, folder: str, kind: str, number: int) -> None:
    """Delete the states of that kind and number."""
    for name, path in _list_states(store, folder, kind):
        if name.number == number:
            store.delete(path)


def digest_tensors(*states: dict[str, Any]) -> str:
    """SHA-256 (16 hex digits) over names, shapes and bytes of all tensors, in order: equal only if
    bit-equal."""
    import torch

    total = hashlib.sha256()
    for state in states:
        for name, value in state.items():
            tensor = value.detach().cpu().contiguous()
            total.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype}".encode())
            total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()[:16]


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _list_states(store: Store, folder: str, kind: str) -> list[tuple[StateName, str]]:
    """Names and paths of the states of a kind that lie in a folder itself, smallest number
    first."""
    paths = {*store.list(folder, ".pt")}
    if kind == CHECKPOINT:
        paths |= _read_newest_path(store, folder)
    names = [(layout.parse_state(path), path) for path in paths]
    states = [
        (name, path) for name, path in names if name and (name.folder, name.kind) == (folder, kind)
    ]
    return sorted(states, key=lambda state: (state[0].number, state[0].checksum))


def _read_newest_path(store: Store, folder: str) -> set[str]:
    """The path of the last checkpoint in a folder, as the file beside it says; none where there is
    no such file."""
    try:
        return {store.read(layout.newest_file(folder)).decode(errors="replace")}
    except FileNotFoundError:
        return set()


def _load_state(store: Store, name: StateName, path: str) -> object:
    """What a file holds.

    Raises:
        UnusableState: it is not whole, or holds anything but tensors and plain values.
    """
    import torch

    try:
        content = store.read(path)
    except FileNotFoundError as error:  # an earlier worker that still runs has just deleted it
        raise UnusableState(f"cannot be read ({error})") from error
    if _checksum(content) != name.checksum:
        raise UnusableState("does not match its checksum")
    try:
        loaded: object = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch each fail in their own way
        raise UnusableState(f"holds no state ({type(error).__name__})") from error
    return loaded
