"""The network of a measured level as the study directory stores it, where the study asks for it.

A file is `networks/<key>/level-<n>-<checksum>.pt`: the row that was measured, how to build the
network, and its weights. Masked weights are packed, see `pruning.packed_weights`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from models.model_registry import build_model
from pruning.packed_weights import pack_weights, unpack_weights
from pruning.structured.keep_plan import join_plans
from pruning.structured.narrow import narrow
from trainables.storage import checkpoints, layout
from trainables.storage.visibility import lag_seconds, wait_until_seen

if TYPE_CHECKING:
    from trainables.data.loader_interface import DataSetInfo
    from trainables.network import Network
    from trainables.storage.store import Store

FORMAT = 1  # of the files; one of another format is passed over


@dataclass(frozen=True, eq=False)
class SavedNetwork:
    """One measured network with all that is needed to use it.

    row: what was measured of it, as in the table *rows*. model, image, classes: as
    `models.model_registry.build_model` takes them. mean, std: per channel, in 0..1, by which inputs
    are normalised. keep: which channels stayed of the groups that were cut. weights: its state
    dict, on the CPU. masks: bool, True where kept, of the layers in which weights were masked.
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
        network = build_untrained(self.model, self.image, self.classes)
        if self.keep:
            network = narrow(network, self.widths, image=self.image)
        network.load_state_dict(self.weights)
        return network.eval()


def build_untrained(model: str, image: tuple[int, int, int], classes: int) -> nn.Module:
    """The whole network on the CPU; torch's global generator stays where it was.

    Raises:
        UserError: see `models.model_registry.build_model`.
    """
    with torch.random.fork_rng(devices=[]):
        return build_model(model, image=image, classes=classes)


def save_network(store: Store, network: Network, row: Mapping[str, Any], data: DataSetInfo) -> None:
    """Write the network as it is now, with the row that was just measured of it."""
    content = {
        "format": FORMAT,
        "row": dict(row),
        "model": network.spec.model,
        "image": tuple(network.image),
        "classes": network.classes,
        "mean": tuple(data.mean),
        "std": tuple(data.std),
        "keep": join_plans(network.keep_plans),
        **pack_weights(network.copy_weights(), network.masks),
    }
    folder = layout.state_folder(layout.NETWORKS, row["key"])
    checkpoints.publish_state(store, folder, "level", row["level"], content)


def find_saved_network(store: Store, key: str, level: int, digest: str) -> SavedNetwork | None:
    """The saved network of a level; None where there is no whole file.

    Args:
        digest: of the row it should have. Where only one that was trained again, on other hardware,
            is there, that one is returned, with its own row.
    """
    folder = layout.state_folder(layout.NETWORKS, key)
    with warnings.catch_warnings(action="ignore"):  # what is passed over here is read again below
        newest = checkpoints.read_newest_state(
            store, folder, "level", level, accept=lambda saved: _row_digest(saved) == digest
        )
    newest = newest or checkpoints.read_newest_state(
        store, folder, "level", level, accept=lambda saved: bool(_row_digest(saved))
    )
    return _unpack(newest[1]) if newest else None


def list_saved_levels(store: Store, key: str) -> set[int]:
    """Levels of a trial whose networks are saved; their content is not checked."""
    folder = layout.state_folder(layout.NETWORKS, key)
    return checkpoints.list_state_numbers(store, folder, "level")


def await_saved_levels(store: Store, key: str, levels: set[int]) -> bool:
    """Whether the networks of these levels are listed, at once or within the time that a listing
    may lag behind."""
    seconds = lag_seconds(store.uri)
    seen = wait_until_seen(lambda: levels <= list_saved_levels(store, key) or None, seconds)
    return bool(seen)


def delete_saved_level(store: Store, key: str, level: int) -> None:
    """Delete what is saved of a level, whole or damaged."""
    folder = layout.state_folder(layout.NETWORKS, key)
    checkpoints.delete_states(store, folder, "level", level)


def _row_digest(saved: Mapping[str, Any]) -> str:
    """The digest of the row in a file; empty where the file is of another format."""
    return str(saved["row"]["digest"]) if saved.get("format") == FORMAT else ""


def _unpack(saved: Mapping[str, Any]) -> SavedNetwork:
    """The network that a file holds: weights under a mask are zero again."""
    weights, masks = unpack_weights(saved)
    return SavedNetwork(
        row=saved["row"],
        model=saved["model"],
        image=saved["image"],
        classes=saved["classes"],
        mean=saved["mean"],
        std=saved["std"],
        keep=saved["keep"],
        weights=weights,
        masks=masks,
    )
