"""Formats of files, whole, damaged and of other programs: the right weights, or one line, and
nothing is executed."""

import argparse
import gzip
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pruning.user_error import UserError
from tests.trainables.weights.files_of_weights import (
    cast,
    check,
    check_one_line,
    put_before,
    read,
    save,
    trained,
)


@pytest.mark.parametrize("ending", [".pt", ".th", ".bin", ".ckpt", ".pth.tar", ".safetensors", ""])
def test_the_content_decides_and_not_the_ending(ending: str, tmp_path: Path) -> None:
    weights = trained()
    torch.save(weights, tmp_path / f"file{ending}")
    check(read(tmp_path / f"file{ending}"), weights)
    save_file(weights, tmp_path / f"safe{ending}")
    check(read(tmp_path / f"safe{ending}"), weights)


def test_safetensors_in_half_precision_with_prefixes(tmp_path: Path) -> None:
    weights = trained()
    halves = cast(torch.bfloat16)(weights)
    file = tmp_path / "model.safetensors"
    save_file(put_before("module.", halves), file, metadata={"format": "pt"})
    check(read(file), cast(torch.float32)(halves))


@pytest.mark.parametrize("start", [b"\x80", b"PK", b"{", b"<", b"\x1f\x8b", b"[", b" "])
def test_safetensors_are_known_whatever_their_first_bytes(start: bytes, tmp_path: Path) -> None:
    """These are the length of the header, and may be those with which other formats begin: one of
    32 files begins as a pickle does."""
    weights, file = trained(), tmp_path / "model.safetensors"
    save_file(weights, file)
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    longer, step = length, 256 ** len(start)
    longer += (int.from_bytes(start, "little") - length) % step
    header = content[8 : 8 + length] + b" " * (longer - length)
    file.write_bytes(longer.to_bytes(8, "little") + header + content[8 + length :])
    assert file.read_bytes().startswith(start)
    check(read(file), weights)
    check(read(file.rename(tmp_path / "model.bin")), weights)


def test_a_file_from_before_torch_1_6(tmp_path: Path) -> None:
    weights = trained()
    saved = {"state_dict": put_before("module.", weights)}
    torch.save(saved, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    check(read(tmp_path / "old.pth"), weights)


def test_tensors_saved_on_a_gpu_are_read_without_one(tmp_path: Path) -> None:
    weights = trained()
    torch.save(weights, tmp_path / "cpu.pth")
    cpu, cuda = b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"
    moved = 0
    with (
        zipfile.ZipFile(tmp_path / "cpu.pth") as old,
        zipfile.ZipFile(tmp_path / "gpu.pth", "w", zipfile.ZIP_STORED) as new,
    ):
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("data.pkl"):
                moved = content.count(cpu)
                content = content.replace(cpu, cuda)
            new.writestr(name, content)
    assert moved, "the pickle names the device of a storage"
    check(read(tmp_path / "gpu.pth"), weights)


@pytest.mark.parametrize(
    "beside",
    [
        {"args": argparse.Namespace(lr=0.1, name="x")},
        {"acc": np.float64(91.7), "best": np.float32(90.5), "epoch": np.int64(7)},
    ],
    ids=["arguments", "numpy's numbers"],
)
def test_what_can_run_nothing_is_let_in_beside_weights(
    beside: dict[str, Any], tmp_path: Path
) -> None:
    weights = trained()
    torch.save({"net": weights, **beside}, tmp_path / "file.pth")
    check(read(tmp_path / "file.pth"), weights)


def write_bytes(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def cut(make: Callable[[Path], None], part: float) -> Callable[[Path], None]:
    """What a file is when its download stopped."""

    def write(path: Path) -> None:
        make(path)
        path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])

    return write


def flip_a_bit(path: Path) -> None:
    weights = trained()
    torch.save(weights, path)
    content = bytearray(path.read_bytes())
    place = content.find(weights["layer3.1.conv1.weight"].numpy().tobytes()[:64])
    assert place > 0
    content[place + 2] ^= 1
    path.write_bytes(content)


def script(path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path)


def dump(make: Callable[[], Any]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(pickle.dumps(make())) and None


def archive(name: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(name, "content")

    return write


def index_file(path: Path) -> None:
    parts = {"a": "model-00001-of-00002.bin", "b": "model-00002-of-00002.bin"}
    path.write_text(json.dumps({"metadata": {}, "weight_map": parts}))


def arrays(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, weight=np.ones(3))


class Planted:
    """Unpickled, it would leave a folder behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


SAVE = "torch.save(model.state_dict(), 'weights.pth')"

# How the bad file is written, and what the line says.
BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "none": (lambda path: (path.parent / "best.pth").touch(), "there is no file of weights"),
    "a folder": (lambda path: path.mkdir(), "is a folder; name the file of weights in it"),
    "empty": (lambda path: path.touch(), "is empty; copy or download it again"),
    "cut off": (cut(save(dict), 0.6), "is damaged or cut off"),
    "old and cut off": (
        cut(save(dict, _use_new_zipfile_serialization=False), 0.6),
        "is damaged or cut off (unexpected EOF",
    ),
    "safetensors, cut off": (
        cut(lambda path: save_file(trained(), path), 0.6),
        "is damaged or cut off",
    ),
    "a bit flipped": (flip_a_bit, "does not match its checksum; copy or download it again"),
    "a web page": (write_bytes(b"\n<!DOCTYPE html><html>"), "is a web page, not weights"),
    "git lfs": (
        write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n"),
        "is a Git LFS pointer, not the file itself; run git lfs pull",
    ),
    "a whole module": (
        lambda path: torch.save(nn.Linear(2, 2), path),
        f"holds Python objects (torch.nn.modules.linear.Linear), which are never loaded; where it "
        f"can be loaded, write only the weights: {SAVE}",
    ),
    "an object beside": (
        save(lambda w: {"state_dict": w, "config": Path("x")}),
        "holds Python objects (pathlib",
    ),
    "torchscript": (script, "is a TorchScript archive; write its weights by torch.save(torch.jit"),
    "a plain pickle": (dump(lambda: {"a": np.ones(3)}), "Python objects, which are never loaded"),
    "numpy's archive": (arrays, "is an archive of numpy arrays; make a state dict of them"),
    "a numpy array": (lambda path: path.open("wb").write(b"\x93NUMPY\x01\x00"), "is a numpy array"),
    "an index": (index_file, "is only the index of weights in 2 files; load the network with its"),
    "other JSON": (write_bytes(b'{"a": 1}'), "is a text file, not weights"),
    "another archive": (archive("readme.txt"), "is a zip archive, not weights; unpack it first"),
    "gzip": (write_bytes(gzip.compress(b"weights")), "is packed by gzip; unpack it first"),
    "keras": (write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), "is an HDF5 file, e.g. of Keras"),
    "noise": (
        write_bytes(np.random.default_rng(0).bytes(999)),
        "was not written by torch.save, or is damaged",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_line(kind: str, tmp_path: Path) -> None:
    check_one_line(*BAD[kind], tmp_path)


@pytest.mark.parametrize("old", [True, False])
def test_nothing_in_a_file_is_executed(tmp_path: Path, old: bool) -> None:
    planted = Planted(tmp_path / "planted")
    saved = {"state_dict": trained(), "best": planted}
    torch.save(saved, tmp_path / "a.pth", _use_new_zipfile_serialization=not old)
    (tmp_path / "b.pth").write_bytes(pickle.dumps(planted))
    for name in ("a.pth", "b.pth"):
        with pytest.raises(UserError, match="never loaded"):
            read(tmp_path / name)
    assert not planted.folder.exists()
