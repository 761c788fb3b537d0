"""Tensors on disk: published as a whole, never mistaken for whole when they are not, loaded without pickle.

A file is `<stem>-<checksum>.pt`, where the checksum is the start of the SHA-256 of the content. Checkpoints are
`checkpoints/<key>/step-<n>-<checksum>.pt`; weights for other trials are `artifacts/<key>/epoch-<n>-<checksum>.pt`.
Both are plain `torch.save` files of tensors and plain values.
"""

import hashlib
import io
import re
import warnings
from typing import Any

import torch

from trainables.store import Store

_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d+)-(?P<checksum>[0-9a-f]{16})\.pt$")


def _found(store: Store, folder: str, stem: str) -> list[tuple[int, str, str]]:
    """(number, checksum, path) of every file of that stem, smallest number first."""
    found = []
    for path in store.list(folder, ".pt"):
        match = _NAME.fullmatch(path.removeprefix(f"{folder}/"))
        if match and match["stem"] == stem:
            found.append((int(match["number"]), match["checksum"], path))
    return sorted(found)


def publish(store: Store, folder: str, stem: str, number: int, state: dict[str, Any]) -> None:
    """Write a state under `folder` with its number (a step or an epoch)."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    checksum = hashlib.sha256(content).hexdigest()[:16]
    store.write(f"{folder}/{stem}-{number:06d}-{checksum}.pt", content)


def newest(store: Store, folder: str, stem: str, number: int | None = None) -> tuple[int, dict[str, Any]] | None:
    """The newest valid state of that stem, or the one with that number; None where there is none.

    A file that cannot be read or does not match its checksum is passed over with a warning.
    """
    for found, checksum, path in reversed(_found(store, folder, stem)):
        if number is not None and found != number:
            continue
        try:
            content = store.read(path)
        except OSError as error:
            warnings.warn(f"{path}: cannot be read ({error}); using the one before it", stacklevel=2)
            continue
        if hashlib.sha256(content).hexdigest()[:16] != checksum:
            warnings.warn(f"{path}: does not match its checksum; using the one before it", stacklevel=2)
            continue
        return found, torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return None


def numbers(store: Store, folder: str, stem: str) -> set[int]:
    """Numbers of the states of that stem that have been published; their content is not checked."""
    return {number for number, _, _ in _found(store, folder, stem)}


def keep_newest(store: Store, folder: str, stem: str, count: int) -> None:
    """Delete all but the `count` newest states of that stem."""
    for _, _, path in _found(store, folder, stem)[:-count]:
        store.delete(path)


def digest(*states: dict[str, Any]) -> str:
    """SHA-256 (16 hex digits) over names, shapes and bytes of all tensors, in order: equal only if bit-equal."""
    total = hashlib.sha256()
    for state in states:
        for name, value in state.items():
            tensor = value.detach().cpu().contiguous()
            total.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype}".encode())
            total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()[:16]
