"""The state dict in a file of weights, as people have such files.

Read are what `torch.save` wrote (`.pt .pth .th .bin` and other endings: the content decides) and
safetensors. Nothing is unpickled that could run code (`weights_only=True`), and everything is read
to the CPU. Beside tensors and plain values only numbers of numpy and `argparse.Namespace` are let
in: training scripts store a best accuracy or their arguments.
"""

from __future__ import annotations

import argparse
import json
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from pruning.user_error import UserError

SAVE_AGAIN = "torch.save(model.state_dict(), 'weights.pth')"
_LETTERS = {  # first bytes of files that people mistake for weights, and what they are
    b"version https://git-lfs": "is a Git LFS pointer, not the file itself; run git lfs pull",
    b"\x93NUMPY": f"is a numpy array; make a state dict of it and write it by {SAVE_AGAIN}",
    b"\x89HDF": "is an HDF5 file, e.g. of Keras; weights of PyTorch are needed",
    b"\x1f\x8b": "is packed by gzip; unpack it first",
    b"7z\xbc\xaf": "is packed by 7-Zip; unpack it first",
    b"\xfd7zXZ": "is packed by xz; unpack it first",
    b"GGUF": "is a GGUF file; weights of PyTorch are needed",
    b"PAR1": "is a Parquet file; weights of PyTorch are needed",
}
_HARMLESS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *(
        (np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar")  # since numpy 2: _core
        for core in ("core", "_core")
    ),
    *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "u1", "b1")),
]
_BEFORE_ZIP = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch.save before torch 1.6


def read_content(path: Path) -> Any:
    """What a file holds, with all tensors on the CPU: a state dict, or a dictionary around one.

    Raises:
        UserError: it is not there, is damaged, or is not a file of tensors; one line.
    """
    start = _read_start(path)
    if _begins_as_safetensors(start):
        return _read_safetensors(path)
    for letters, what in _LETTERS.items():
        if start.startswith(letters):
            raise UserError(f"'{path}' {what}")
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise UserError(
            f"'{path}' is a web page, not weights; download the file itself, not the page about it"
        )
    if path.suffix == ".onnx":
        raise UserError(f"'{path}' is an ONNX graph; write the weights by {SAVE_AGAIN}")
    if text.startswith((b"{", b"[")):
        raise _json_error(path)
    if path.suffix == ".safetensors" and not start.startswith((b"PK", b"\x80")):
        return _read_safetensors(path)
    if start.startswith(b"PK"):
        _check_archive(path)
    elif not start.startswith(_BEFORE_ZIP):
        what = (
            "is a pickle of Python objects, which are never loaded"
            if start[:1] == b"\x80"
            else ("was not written by torch.save, or is damaged")
        )
        raise UserError(f"'{path}' {what}; write the weights by {SAVE_AGAIN}")
    return _read_torch(path)


def _read_start(path: Path) -> bytes:
    """The first bytes of a file.

    Raises:
        UserError: there is no such file, or it is empty or closed to us.
    """
    try:
        if path.is_dir():
            inside = sorted(p.name for p in path.iterdir() if p.suffix in ENDINGS)[:3]
            hint = f"; it holds {', '.join(inside)}" if inside else ""
            raise UserError(f"'{path}' is a folder; name the file of weights in it{hint}")
        with path.open("rb") as file:
            start = file.read(512)
    except FileNotFoundError:
        near = sorted(p.name for p in path.parent.glob("*") if p.suffix in ENDINGS)[:3]
        hint = f"; beside it are {', '.join(near)}" if near else ""
        raise UserError(f"there is no file of weights '{path}'{hint}") from None
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}") from error
    if not start:
        raise UserError(f"'{path}' is empty; copy or download it again")
    return start


ENDINGS = (".pt", ".pth", ".th", ".bin", ".safetensors", ".ckpt", ".tar")


def _begins_as_safetensors(start: bytes) -> bool:
    """Whether a file begins as the format does: with the length of its header, then `{`. Any byte
    can be the first one, also those with which a pickle or a gzip file begins."""
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 100_000_000


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"'{path}' is damaged or cut off ({_first_line(error)}); copy or download it again"
        ) from error


def _json_error(path: Path) -> UserError:
    """What is wrong with a JSON file in place of weights."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        content = None
    if isinstance(content, dict) and isinstance(content.get("weight_map"), dict):
        parts = len(set(content["weight_map"].values()))
        return UserError(
            f"'{path}' is only the index of weights in {parts} files; load the network with its "
            f"library and write one file by {SAVE_AGAIN}"
        )
    return UserError(f"'{path}' is a text file, not weights; name the file of weights")


def _check_archive(path: Path) -> None:
    """Refuse zip archives that are no state of torch's.

    Raises:
        UserError: it is one of another program, TorchScript, or cut off.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            damaged = archive.testzip()  # torch itself does not look at the checksums
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        raise UserError(
            f"'{path}' is damaged or cut off ({_first_line(error)}); copy or download it again"
        ) from error
    if damaged is not None:
        raise UserError(
            f"'{path}' is damaged: '{damaged}' in it does not match its checksum; copy or download "
            "it again"
        )
    leaves = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in leaves:
        raise UserError(
            f"'{path}' is a TorchScript archive; write its weights by "
            f"torch.save(torch.jit.load('{path.name}').state_dict(), 'weights.pth')"
        )
    if any(name.endswith(".npy") for name in leaves):
        raise UserError(
            f"'{path}' is an archive of numpy arrays; make a state dict of them and write it by "
            f"{SAVE_AGAIN}"
        )
    if "data.pkl" not in leaves:
        raise UserError(f"'{path}' is a zip archive, not weights; unpack it first")


def _read_torch(path: Path) -> Any:
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            torch.serialization.safe_globals(_HARMLESS),
            path.open("rb") as file,  # of a path, torch would judge the ending, not the content
        ):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch each fail in their own way
        raise UserError(f"'{path}' {_explain(str(error), type(error).__name__)}") from error


def _explain(text: str, kind: str) -> str:
    """Why torch cannot load a file, by what it says."""
    found = re.search(r"GLOBAL ([\w.]+)", text) or re.search(r"[Uu]nsupported.*?: ?([\w.]+)", text)
    if "Weights only load failed" in text and found:
        return (
            f"holds Python objects ({found[1]}), which are never loaded; where it can be loaded, "
            f"write only the weights: {SAVE_AGAIN}"
        )
    lower = text.lower()
    if kind == "EOFError" or any(word in lower for word in _DAMAGED):
        reason = _first_line(text) or kind
        return f"is damaged or cut off ({reason}); copy or download it again"
    return f"cannot be loaded ({kind}: {_first_line(text)}); write the weights by {SAVE_AGAIN}"


_DAMAGED = (
    *("pytorchstreamreader", "unexpected eof", "ran out of input", "pickle data was truncated"),
    *("central directory", "failed reading", "unexpected pos", "corrupt", "checksum"),
)


def _first_line(error: object) -> str:
    """The first sentence of an error, without what torch advises."""
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__ if isinstance(error, BaseException) else ""
    return lines[0].partition(". ")[0][:160]
