"""`pruning.load`: a pruned network read from its file."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pruning.masks import all_kept
from pruning.method import Method
from pruning.own_code.pruned import Pruned
from pruning.own_code.pruned_file import read_pruned_file
from pruning.own_code.user_network import UserNetwork, check_user_model
from pruning.packed_weights import unpack_weights
from pruning.prunable_layers import Selection
from pruning.registry import build_method
from pruning.structured.narrow import narrow
from pruning.user_error import UserError


def load(path: str | Path, model: nn.Module) -> Pruned:
    """The pruned network that `Pruned.save` wrote.

    Args:
        model: the network before pruning, as the script makes it, with any weights; it is left as
            it is, and says the device. `pruned.model` is in eval mode.

    Raises:
        UserError: the file cannot be read, or is of another network.
    """
    check_user_model(model)
    saved = read_pruned_file(path)
    weights, masks = unpack_weights(saved)
    whole = copy.deepcopy(model)
    try:
        network = UserNetwork(
            whole,
            saved["image"],
            whole=model,
            maker=None,
            seed=0,
            method=_find_method(saved),
            selection=Selection(tuple(saved["pruned"])),
        )
        if saved["keep"]:
            widths = {name: len(index) for name, index in saved["keep"].items()}
            network.model = narrow(whole, widths, image=saved["image"]).to(network.device)
            network.keep_plans = [saved["keep"]]
        network.model.load_state_dict(weights)
    except (RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"'{path}' is of another network: {reason}") from error
    network.dense_params, network.dense_prunable = saved["dense_params"], saved["dense_prunable"]
    kept = all_kept(network.model)
    network.set_masks({name: masks.get(name, kept[name]) for name in saved["pruned"]})
    network.model.eval()
    pruned = Pruned(
        network,
        method=saved["method"],
        knobs=saved["knobs"],
        requested=saved["requested"],
        macs_before=saved["macs_before"],
        seed=0,
        draw=_draw_nothing,
        changes_masks=saved["changes_masks"],
    )
    pruned.notes = list(saved["notes"])
    return pruned


def _find_method(saved: Mapping[str, Any]) -> Method | None:
    """The method with its knobs; None where this process does not know it."""
    try:
        return build_method(saved["method"], saved["knobs"])
    except ValueError:  # a UserError, or pydantic's
        return None


def _draw_nothing(count: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    raise UserError("a network that was loaded has no batches: prune it anew with batches=")
