"""Trained weights that torchvision and timm offer for their networks, downloaded by their own code:
torch.hub keeps torchvision's below `TORCH_HOME`, huggingface_hub timm's below `HF_HOME`.

Importing this does not import torch.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from models import zoo
from pruning.user_error import UserError

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT = "default"  # the weights that the library itself would take
# These two normalise their inputs once more in the forward pass that the weights were trained with;
# what it amounts to is a mean and a standard deviation of a half.
_NORMALISES_AGAIN = ("googlenet", "inception_v3")
_SIDE_BRANCHES = ("aux1.", "aux2.", "AuxLogits.")  # of the same two, only used while training


@dataclass(frozen=True)
class Pretrained:
    """Trained weights of a library.

    tensors: the state dict, on the CPU. mean, std: per channel, in 0..1, by which the weights' own
    training normalised images; None where the library does not say or the images have other
    channels. notes: what differs from the library's own use of them.
    """

    tensors: Mapping[str, Tensor]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    notes: tuple[str, ...] = ()


def download_weights(model: str, tag: str, *, channels: int) -> Pretrained:
    """Weights of a library's network by their tag: `default`, a name of torchvision's enum such as
    `IMAGENET1K_V2`, or a tag of timm's such as `a1_in1k`.

    Args:
        model: `torchvision:NAME` or `timm:NAME`.
        channels: of the images. timm adapts its first layer to them.

    Raises:
        UserError: no such network or tag, or the download fails; the message names the address.
    """
    library, network, _ = zoo.split_library_name(model)
    package = zoo.import_library(model)
    if library == "torchvision":
        return _from_torchvision(package, network, tag)
    return _from_timm(package, network, tag, channels)


def _from_torchvision(package: Any, network: str, tag: str) -> Pretrained:
    try:
        enum = package.get_model_weights(network)
    except ValueError:
        raise UserError(f"torchvision has no network '{network}', so it has no weights") from None
    tags = [weights.name for weights in enum]
    wanted = tag.removeprefix(f"{enum.__name__}.")
    if wanted.lower() == DEFAULT and tags:
        weights = enum.DEFAULT
    elif wanted in tags:
        weights = enum[wanted]
    else:
        raise _no_such_tag(f"torchvision:{network}", tag, tags)
    try:
        with redirect_stdout(sys.stderr if sys.stderr.isatty() else io.StringIO()):
            # torch.hub says there what it downloads, which belongs to no command's output.
            tensors = weights.get_state_dict(
                progress=False, check_hash=True, map_location="cpu", weights_only=True
            )
    # The network, a disk, and torch on a damaged copy fail in their ways.
    except Exception as error:
        raise UserError(
            f"cannot download {weights.url} ({_reason(error)}); where there is no network, fetch "
            "it elsewhere and give the path of the file; a damaged copy in TORCH_HOME must be "
            "deleted"
        ) from error
    notes = []
    transforms = weights.transforms()
    mean, std = tuple(transforms.mean), tuple(transforms.std)
    if network in _NORMALISES_AGAIN:
        mean, std = (0.5,) * 3, (0.5,) * 3
        tensors = {
            name: tensor for name, tensor in tensors.items() if not name.startswith(_SIDE_BRANCHES)
        }
        notes.append(
            f"{network}: inputs are normalised by 0.5 and 0.5, which is what transform_input does; "
            "its side branches are left out"
        )
    return Pretrained(dict(tensors), mean, std, tuple(notes))


def _from_timm(timm: Any, network: str, tag: str, channels: int) -> Pretrained:
    if network not in timm.list_models():
        raise UserError(f"timm has no classification network '{network}', so it has no weights")
    known = [name.partition(".")[2] for name in timm.list_pretrained(f"{network}.*")]
    known = known or [""] * bool(timm.list_pretrained(network))
    if not known or (tag != DEFAULT and tag not in known):
        raise _no_such_tag(f"timm:{network}", tag, known)
    name = network if tag == DEFAULT else f"{network}.{tag}"
    config = timm.get_pretrained_cfg(name)
    hub_log = logging.getLogger("huggingface_hub")
    level = hub_log.level
    hub_log.setLevel(logging.ERROR)  # it tells of each new try
    try:
        model = timm.create_model(name, pretrained=True, in_chans=channels)
    except Exception as error:  # huggingface_hub, requests or httpx, and torch fail in their ways
        where = f"{config.hf_hub_id} of huggingface.co" if config.hf_hub_id else config.url
        raise UserError(
            f"cannot download {where} ({_reason(error)}); where there is no network, fetch its "
            "model.safetensors elsewhere and give the path of the file"
        ) from error
    finally:
        hub_log.setLevel(level)
    fits = len(config.mean) == channels
    note = f"timm made the first layer fit {channels} channels"
    return Pretrained(
        model.state_dict(),
        tuple(config.mean) if fits else None,
        tuple(config.std) if fits else None,
        () if channels == config.input_size[0] else (note,),
    )


def _no_such_tag(model: str, tag: str, tags: list[str]) -> UserError:
    if not any(tags):
        return UserError(f"there are no trained weights for '{model}'; give a file")
    near = get_close_matches(tag, tags, n=1, cutoff=0.4)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return UserError(
        f"'{model}' has no weights '{tag}'; {hint}there are: {DEFAULT}, {', '.join(tags)}"
    )


def _reason(error: BaseException) -> str:
    """The kind and the first sentence of an error."""
    text = " ".join(str(error).split()).partition(". ")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
