"""The file of a pruned network: its weights, masks and widths, and what was measured of it."""

from __future__ import annotations

import contextlib
import io
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pruning.user_error import UserError

FORMAT = 1


def write_pruned_file(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write tensors and plain values, whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    buffer = io.BytesIO()  # torch.save into a file that cannot grow raises torch's own error
    torch.save({"format": FORMAT, **content}, buffer)
    place = Path(path).expanduser()
    unfinished = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
    try:
        unfinished.write_bytes(buffer.getbuffer())
        unfinished.replace(place)
    except OSError as error:
        raise UserError(f"cannot write '{path}': {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def read_pruned_file(path: str | Path) -> dict[str, Any]:
    """What `write_pruned_file` wrote; nothing in the file is executed.

    Raises:
        UserError: there is no such file, or it is another one.
    """
    try:
        with Path(path).expanduser().open("rb") as file:  # of a path, torch judges the ending
            content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}") from None
    except Exception:  # torch raises of many kinds
        raise UserError(f"'{path}' is no file of a pruned network, or damaged") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"'{path}' is no file that pruned.save wrote")
    return content
