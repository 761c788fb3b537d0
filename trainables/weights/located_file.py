"""The file that holds weights: where a path or an address leads. Importing this does not import
torch."""

from __future__ import annotations

import re
import sys
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from pruning.user_error import UserError, printable

FOLDER = "weights"  # in the folder of the user's data, where files of weights may lie
_HASHED = re.compile(r"-[0-9a-f]{8,}\.\w+$")


def is_address(text: str) -> bool:
    """Whether a source is the address of a file to download."""
    return re.match(r"https?://", text) is not None


def find_file(text: str, data_dir: str | None) -> Path:
    """The file of a path or an address: the path itself, else the file of that name in the folder
    `weights` of `data_dir`; what an address leads to is downloaded once, to torch's hub folder.

    Raises:
        UserError: it cannot be downloaded, or the file is not the one that its name says.
    """
    path = Path(_path_of(text) if is_address(text) else text).expanduser()
    if not is_address(text) and (path.exists() or path.is_absolute()):
        return path
    if data_dir is not None:
        beside = Path(data_dir).expanduser() / FOLDER / path.name
        if beside.exists():
            return beside
    return _download(text, path.name) if is_address(text) else path


def _path_of(address: str) -> str:
    try:
        return urlsplit(address).path
    except ValueError as error:  # such as a bracket that is not closed
        raise UserError(f"'{printable(address)}' is no address: {error}") from None


def _download(address: str, name: str) -> Path:
    """The downloaded file.

    Raises:
        UserError: see `find_file`.
    """
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    file = folder / name
    if file.exists():
        return file
    hashed = _HASHED.search(name)
    prefix = hashed.group().strip("-").partition(".")[0] if hashed else None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shown = sys.stderr.isatty()
        torch.hub.download_url_to_file(address, str(file), hash_prefix=prefix, progress=shown)
    except (OSError, RuntimeError, ValueError, HTTPException) as error:
        # no network, no such file, another hash, no address, or an answer that breaks off
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"cannot download '{printable(address)}' ({reason}); put the file into '{folder}', "
            f"or into the folder '{FOLDER}' of --data-dir"
        ) from error
    return file
