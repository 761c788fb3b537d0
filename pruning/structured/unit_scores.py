"""What a layer holds for each channel that it writes: the filters that scores are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pruning.structured.group_parts import Group, Part


@dataclass(frozen=True, eq=False)
class Writer:
    """A layer that writes a group's channels.

    part: its entries that belong to the channels. units: number of channels.
    """

    part: Part
    units: int

    def filters(self, tensor: Tensor) -> Tensor:
        """What the layer holds for each channel, [channels, ...]: the filter that writes it, or all
        rows of an attention head, one after the other.

        Channels that hold less than the others are filled up with zeros.

        Args:
            tensor: the layer's weight, or a tensor of its shape, such as its gradient.
        """
        part = self.part
        rows = tensor.movedim(part.dim, 0)
        if torch.equal(part.unit, torch.arange(self.units)):
            return rows
        unit, rows = part.unit.to(rows.device), rows.flatten(1)
        counts = torch.bincount(unit[unit >= 0], minlength=self.units)
        filters = rows.new_zeros(self.units, int(counts.max()), rows.shape[1])
        order = torch.argsort(unit, stable=True)
        order = order[unit[order] >= 0]
        first = (counts.cumsum(0) - counts)[unit[order]]
        filters[unit[order], torch.arange(len(order), device=unit.device) - first] = rows[order]
        return filters.flatten(1)


def writers_of(groups: Sequence[Group]) -> dict[str, Writer]:
    """The layers that write the groups' channels, by their names in `Group.producers`."""
    return {
        layer: Writer(part, group.channels)
        for group in groups
        for layer, part in zip(group.producers, group.of_role("writes"), strict=True)
    }
