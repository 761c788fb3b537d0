"""Tensors on disk: published as a whole, never mistaken for whole when they are not, loaded without
pickle.

A file is `<stem>-<n>-<checksum>.pt`, where the checksum is the start of the SHA-256 of the content.
Checkpoints are `checkpoints/<key>/step-<n>-<checksum>.pt`, with n = 1,000,000 x steps + batches of
the epoch under way; weights for other trials are `artifacts/<key>/epoch-<n>-<checksum>.pt`. Both
are plain `torch.save` files of tensors and plain values.
"""

import hashlib
import io
import re
import warnings
from collections.abc import Callable, Collection
from typing import Any

import torch

from trainables.storage.store import Store

_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d+)-(?P<checksum>[0-9a-f]{16})\.pt$")


def _found(store: Store, folder: str, stem: str) -> list[tuple[int, str, str]]:
    """(number, checksum, path) of every file of that stem, smallest number first."""
    found = []
    for path in store.list(folder, ".pt"):
        match = _NAME.fullmatch(path.removeprefix(f"{folder}/"))
        if match and match["stem"] == stem:
            found.append((int(match["number"]), match["checksum"], path))
    return sorted(found)


def publish(
    store: Store, folder: str, stem: str, number: int, state: dict[str, Any], *, digits: int = 6
) -> str:
    """Write a state under `folder` with its number (a position or an epoch); returns its path."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    checksum = hashlib.sha256(content).hexdigest()[:16]
    path = f"{folder}/{stem}-{number:0{digits}d}-{checksum}.pt"
    store.write(path, content)
    return path


def newest(
    store: Store,
    folder: str,
    stem: str,
    number: int | None = None,
    *,
    accept: Callable[[dict[str, Any]], bool] = lambda saved: True,
) -> tuple[str, dict[str, Any]] | None:
    """Path and content of the newest valid state of that stem, or of that number; None where there
    is none.

    A file that is gone, does not match its checksum, holds anything but tensors and plain values,
    or is not accepted is passed over with a warning.
    """
    for found, checksum, path in reversed(_found(store, folder, stem)):
        if number is not None and found != number:
            continue
        try:
            content = store.read(path)
        except FileNotFoundError as error:  # a predecessor that still runs has just tidied up
            _pass_over(path, f"cannot be read ({error})")
            continue
        if hashlib.sha256(content).hexdigest()[:16] != checksum:
            _pass_over(path, "does not match its checksum")
            continue
        try:
            saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:  # zip, pickle and torch each fail in their own way
            _pass_over(path, f"holds no state ({type(error).__name__})")
            continue
        if not isinstance(saved, dict) or not accept(saved):
            _pass_over(path, "was written by another version")
            continue
        return path, saved
    return None


def _pass_over(path: str, reason: str) -> None:
    warnings.warn(f"{path}: {reason}; passed over", stacklevel=3)


def numbers(store: Store, folder: str, stem: str) -> set[int]:
    """Numbers of the states of that stem that have been published; their content is not checked."""
    return {number for number, _, _ in _found(store, folder, stem)}


def drop_older(store: Store, folder: str, stem: str, number: int, *, keep: Collection[str]) -> None:
    """Delete the states of that stem up to a number, except those at the paths to keep.

    Later ones may be a predecessor's that still runs, and are as good.
    """
    for found, _, path in _found(store, folder, stem):
        if found <= number and path not in keep:
            store.delete(path)


def drop(store: Store, folder: str, stem: str, number: int) -> None:
    """Delete the states of that stem and number."""
    for found, _, path in _found(store, folder, stem):
        if found == number:
            store.delete(path)


def digest(*states: dict[str, Any]) -> str:
    """SHA-256 (16 hex digits) over names, shapes and bytes of all tensors, in order: equal only if
    bit-equal."""
    total = hashlib.sha256()
    for state in states:
        for name, value in state.items():
            tensor = value.detach().cpu().contiguous()
            total.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype}".encode())
            total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()[:16]
