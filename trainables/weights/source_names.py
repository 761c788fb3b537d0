"""Sources of trained weights as users write them, told apart by their form. Importing this does not
import torch, and nothing is read but whether a file is there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models import zoo
from pruning.user_error import UserError
from trainables.weights.located_file import is_address

Kind = Literal["file", "library", "study", "function"]
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_LEVEL = re.compile(r"(?P<key>.+)@(?P<level>\d+)")
_ENDINGS = (".pt", ".pth", ".th", ".bin", ".safetensors", ".ckpt", ".tar")


@dataclass(frozen=True)
class WeightsSource:
    """A source of weights, taken apart.

    kind: "file" with `place` its path or address and `part` the name of one of its state dicts;
    "library" with `place` torchvision or timm and `part` the tag; "study" with `place` the study
    directory, `part` the key and `level`; "function" with `place` `package.module:function`.
    """

    kind: Kind
    place: str
    part: str | None = None
    level: int | None = None


def parse_source(text: str, model: str) -> WeightsSource:
    """The source that a text names.

    Args:
        model: of the study; weights of a library belong to a network of it.

    Raises:
        UserError: it names none, or weights of a library that the model is not of.
    """
    text = text.strip()
    if not text:
        raise UserError("weights: name a file, torchvision:default, timm:TAG, or STUDY_DIR#KEY")
    library, colon, tag = text.partition(":")
    if colon and library in zoo.LIBRARIES:
        return _of_library(library, tag, model)
    if Path(text).expanduser().exists():
        return WeightsSource("file", text)
    before, _, after = text.rpartition("#")
    if before and after and (before.endswith(_ENDINGS) or Path(before).expanduser().is_file()):
        return WeightsSource("file", before, after)
    if is_address(text):
        return WeightsSource("file", text)
    if before and after:
        level = _LEVEL.fullmatch(after)
        if level:
            return WeightsSource("study", before, level["key"], int(level["level"]))
        return WeightsSource("study", before, after)
    if "://" in text:
        raise UserError(
            f"a study in a bucket is named 'URI#KEY' with a trial's key, but got '{text}'; of a "
            "file in a bucket, give a copy"
        )
    if _FUNCTION.fullmatch(text) and not text.endswith(_ENDINGS):
        return WeightsSource("function", text)
    return WeightsSource("file", text)


def _of_library(library: str, tag: str, model: str) -> WeightsSource:
    if not tag:
        raise UserError(f"name the weights: '{library}:default', or a tag in place of default")
    if not model.startswith(f"{library}:"):
        raise UserError(
            f"weights of {library} are for its own networks: with weights '{library}:{tag}' the "
            f"model must be '{library}:NAME', but it is '{model}'"
        )
    network = zoo.split_library_name(model)[1]
    if tag == network:
        raise UserError(
            f"'{library}:{tag}' names a network; its weights are '{library}:default', or a tag in "
            "place of default"
        )
    return WeightsSource("library", library, tag.removeprefix(f"{network}."))
