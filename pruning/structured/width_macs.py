"""The multiply-accumulates of a network whose groups keep so many channels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from pruning.cost import layer_costs, macs
from pruning.structured.channel_cuts import cut
from pruning.structured.channel_groups import analyse
from pruning.structured.label_trace import without_storage


class MacsOfWidths:
    """Counts the fraction of a network's multiply-accumulates that a choice of widths removes, in a
    copy without storage that is cut to them; each choice once."""

    def __init__(self, model: nn.Module, image: tuple[int, int, int]) -> None:
        self.model, self.image = model, image
        self.structure = analyse(model, image)
        self.whole = macs(layer_costs(without_storage(model), image))
        self._counted: dict[tuple[tuple[str, int], ...], float] = {}

    def removed(self, kept: Mapping[str, int]) -> float:
        """The fraction that goes when each group keeps so many channels; a group that is not named
        stays whole."""
        choice = tuple(kept.items())
        if choice not in self._counted:
            twin = without_storage(self.model)
            cut(twin, self.structure, {name: torch.arange(width) for name, width in choice})
            self._counted[choice] = 1 - macs(layer_costs(twin, self.image)) / self.whole
        return self._counted[choice]
