"""Groups of channels as data: which entries of which tensors make up each channel.

What a forward pass ties together is a unit: a channel, an attention head, the block of a grouped
convolution. Units that one layer writes form a group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

Role = Literal["writes", "carries", "depthwise", "gates", "scales", "reads"]


@dataclass(frozen=True, eq=False)
class Part:
    """Entries of a tensor that belong to a group's units.

    tensor: its state-dict name. dim: the dimension that holds them. unit: int64 [entries], for each
    entry along the dimension its unit, or -1 where it belongs to another group or to none.
    role: "writes" a layer's outputs, "carries" something for each (bias, norm, layer scale),
    "depthwise" a filter for each of them, "gates" writes factors for them (squeeze-and-excitation),
    "scales" is a running variance, "reads" a layer's inputs.
    """

    tensor: str
    dim: int
    unit: Tensor
    role: Role

    @property
    def layer(self) -> str:
        """The module the tensor belongs to."""
        return self.tensor.rpartition(".")[0]


@dataclass(frozen=True, eq=False)
class Group:
    """Units that are ranked against each other; each is removed or kept as a whole.

    name: the first layer (or parameter that is no layer's weight) that writes them.
    channels: number of units.
    producers: names of all layers that write them, one for each part that does.
    residual: whether several layers write into it by additions.
    """

    name: str
    channels: int
    producers: tuple[str, ...]
    parts: tuple[Part, ...] = ()
    residual: bool = False

    def of_role(self, role: Role) -> list[Part]:
        """The parts of one role, in the order of the forward pass for those that write."""
        return [part for part in self.parts if part.role == role]

    @property
    def cut_weights(self) -> tuple[str, ...]:
        """Names of the weights that lose filters with the group's channels."""
        roles = ("writes", "depthwise", "gates")
        return tuple(part.tensor for part in self.parts if part.role in roles)


@dataclass(frozen=True, eq=False)
class Attribute:
    """A number of a module's that follows a width.

    units: by group, int64 [old value], for each of the counted entries its unit or -1.
    """

    module: str
    name: str
    units: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Structure:
    """All that can be cut in a network, and why the rest cannot.

    fixed: by layer that writes channels, the reason why they stay.
    """

    groups: tuple[Group, ...]
    attributes: tuple[Attribute, ...] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)
