"""The network of a measured level as the study directory keeps it, where the study asks for it.

A file is `networks/<key>/level-<n>-<checksum>.pt`: the row that was measured, how to build the
network, and its weights. Of a masked layer it holds the kept weights and one bit per weight, so
that a network at 90 % sparsity takes about a seventh of the dense one's bytes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from models.model_registry import build
from pruning.structured.narrow import join, narrow
from trainables.storage import checkpoints

if TYPE_CHECKING:
    from trainables.data.prepared import Data
    from trainables.network import Network
    from trainables.storage.store import Store

FORMAT = 1  # of the files; one of another format is passed over


@dataclass(frozen=True, eq=False)
class Kept:
    """One measured network with all that is needed to use it.

    row: what was measured of it, as in the table *rows*. model, image, classes: as
    `models.model_registry.build` takes them. mean, std: per channel, in 0..1, by which inputs are
    normalised. keep: which channels stayed of the groups that were cut. weights: its state dict, on
    the CPU. masks: bool, True where kept, of the layers in which weights were masked.
    """

    row: dict[str, Any]
    model: str
    image: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    keep: dict[str, Tensor]
    weights: dict[str, Tensor]
    masks: dict[str, Tensor]

    @property
    def widths(self) -> dict[str, int]:
        """Channels left of each group that was cut."""
        return {name: len(index) for name, index in self.keep.items()}

    def rebuild(self) -> nn.Module:
        """The network as it was measured, in eval mode on the CPU, in fp32."""
        network = fresh(self.model, self.image, self.classes)
        if self.keep:
            network = narrow(network, self.widths, image=self.image)
        network.load_state_dict(self.weights)
        return network.eval()


def fresh(model: str, image: tuple[int, int, int], classes: int) -> nn.Module:
    """The whole network on the CPU; torch's global generator stays where it was.

    Raises:
        UserError, UserError: see `models.model_registry.build`.
    """
    with torch.random.fork_rng(devices=[]):
        return build(model, image=image, classes=classes)


def keep(store: Store, network: Network, row: Mapping[str, Any], data: Data) -> None:
    """Write the network as it is now, with the row that was just measured of it."""
    weights, masks = (
        network.weights(),
        {n: mask.cpu() for n, mask in network.masks.items() if not mask.all()},
    )
    content = {
        "format": FORMAT,
        "row": dict(row),
        "model": network.spec.model,
        "image": tuple(network.image),
        "classes": network.classes,
        "mean": tuple(data.mean),
        "std": tuple(data.std),
        "keep": join(network.keeps),
        "weights": {name: value for name, value in weights.items() if name not in masks},
        "shapes": {name: tuple(mask.shape) for name, mask in masks.items()},
        "values": {name: weights[name][mask] for name, mask in masks.items()},
        "bits": {name: torch.from_numpy(np.packbits(mask.numpy())) for name, mask in masks.items()},
        "order": list(weights),
    }
    checkpoints.publish(store, folder(row["key"]), "level", row["level"], content)


def find(store: Store, key: str, level: int, digest: str) -> Kept | None:
    """The kept network of a level; None where there is no whole file.

    Args:
        digest: of the row it should have. Where only one that was trained again, on other hardware,
            is there, that one is returned, with its own row.
    """
    with warnings.catch_warnings(
        action="ignore"
    ):  # one that is passed over here is looked at again below
        chosen = checkpoints.newest(
            store, folder(key), "level", level, accept=lambda saved: _digest(saved) == digest
        )
    chosen = chosen or checkpoints.newest(
        store, folder(key), "level", level, accept=lambda saved: bool(_digest(saved))
    )
    return _unpack(chosen[1]) if chosen else None


def levels(store: Store, key: str) -> set[int]:
    """Levels of a trial whose networks are kept; their content is not checked."""
    return checkpoints.numbers(store, folder(key), "level")


def folder(key: str) -> str:
    """Where the networks of a trial are, in the study directory."""
    return f"networks/{key}"


def _digest(saved: Mapping[str, Any]) -> str:
    """The digest of the row in a file; empty where the file is of another format."""
    return str(saved["row"]["digest"]) if saved.get("format") == FORMAT else ""


def _unpack(saved: Mapping[str, Any]) -> Kept:
    weights, masks = dict(saved["weights"]), {}
    for name, shape in saved["shapes"].items():
        bits = np.unpackbits(saved["bits"][name].numpy(), count=int(np.prod(shape)))
        masks[name] = torch.from_numpy(bits.astype(bool)).view(shape)
        weights[name] = torch.zeros(shape, dtype=saved["values"][name].dtype)
        weights[name][masks[name]] = saved["values"][name]
    return Kept(
        row=saved["row"],
        model=saved["model"],
        image=saved["image"],
        classes=saved["classes"],
        mean=saved["mean"],
        std=saved["std"],
        keep=saved["keep"],
        weights={name: weights[name] for name in saved["order"]},
        masks=masks,
    )
