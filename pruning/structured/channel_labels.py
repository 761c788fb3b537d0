"""Labels of channels: which entries of a network's tensors must be removed together.

Every entry along every dimension of every parameter starts with a label of its own. The operations
of the forward pass tie labels together (an addition needs both operands' channels) or lock them
(what leaves the network cannot be cut). Labels that are tied are removed together: a unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Origin = tuple[str, int]
"""A parameter or buffer by its state-dict name, and one of its dimensions."""

FIXED = 0  # the label of entries that are no channels of the network, and always stay


@dataclass(frozen=True)
class Labels:
    """Labels of a tensor's entries along some of its dimensions.

    ids: as many dimensions as the tensor, of size 1 where the labels do not vary.
    zero: whether the entries of a removed label are 0 in the masked network.
    origin: set while the tensor is a parameter or a view of one, and the labels those of one of its
        dimensions.
    """

    ids: Ids
    zero: bool
    origin: Origin | None = None

    @property
    def dims(self) -> tuple[int, ...]:
        """The dimensions along which the labels vary."""
        return tuple(dim for dim, size in enumerate(self.ids.shape) if size > 1)

    def varies(self, dims: Sequence[int]) -> bool:
        """Whether the labels vary along one of these dimensions."""
        return any(self.ids.shape[dim] > 1 for dim in dims)

    def with_ids(self, ids: Ids) -> Labels:
        """The same labels arranged otherwise."""
        return replace(self, ids=ids)

    def changed(self, *, zero: bool) -> Labels:
        """The labels of a tensor that was computed from this one."""
        return Labels(self.ids, zero)


Note = tuple[Labels, ...]
"""All that is known of a tensor's channels; no two of its labels vary along one dimension."""


@dataclass(frozen=True)
class Width:
    """A number of entries that a module computes with while it splits or merges dimensions."""

    module: str
    ids: Ids  # one-dimensional


@dataclass
class Ties:
    """What the forward pass was found to ask of the labels.

    locks: labels that cannot be removed, with the reason.
    grids: labels of dimensions that one dimension was split into; removed ones must form whole
        slices of one of these dimensions.
    writers: parameters whose labels became a layer's output channels, in the order of the forward
        pass. readers: dimensions that are summed over. scales: dimensions of running variances.
    depthwise: dimensions of filters that each convolve a channel, or a block of them, alone.
    gates: labels of tensors that only multiply others, as in squeeze-and-excitation.
    sums: labels of activations that were added to other activations.
    widths: numbers that modules compute with.
    computed: layers whose weight is no parameter but computed from some.
    """

    count: int = 1
    edges: list[tuple[Ids, Ids]] = field(default_factory=list)
    locks: list[tuple[Ids, str]] = field(default_factory=list)
    grids: list[Ids] = field(default_factory=list)
    writers: dict[Origin, Ids] = field(default_factory=dict)
    readers: set[Origin] = field(default_factory=set)
    scales: set[Origin] = field(default_factory=set)
    depthwise: set[Origin] = field(default_factory=set)
    gates: list[Ids] = field(default_factory=list)
    sums: list[Ids] = field(default_factory=list)
    widths: list[Width] = field(default_factory=list)
    computed: list[str] = field(default_factory=list)

    def new(self, size: int) -> Ids:
        """Labels that no entry has yet."""
        self.count += size
        return np.arange(self.count - size, self.count, dtype=np.int64)

    def tie(self, first: Ids, second: Ids, reason: str) -> None:
        """Remove these labels together, entry by entry; what is tied to a fixed entry stays."""
        one, two = (part.ravel() for part in np.broadcast_arrays(first, second))
        self.lock(one[two == FIXED], reason)
        self.lock(two[one == FIXED], reason)
        unlike = (one != two) & (one != FIXED) & (two != FIXED)
        if unlike.any():
            self.edges.append((one[unlike], two[unlike]))

    def tie_along(self, ids: Ids, dims: Sequence[int], reason: str) -> Ids:
        """Remove together what differs only along these dimensions; the labels without them."""
        first = ids
        for dim in dims:
            first = first.take([0], axis=dim)
        self.tie(ids, first, reason)
        return first

    def lock(self, ids: Ids, reason: str) -> None:
        """Never remove these labels."""
        if ids.size:
            self.locks.append((ids.ravel(), reason))

    def solve(self) -> Ids:
        """For each label the lowest one that is removed with it."""
        root = components(self.count, self.edges)
        while True:
            before = len(self.edges)
            for grid in self.grids:
                _straighten(self, root[grid])
            if len(self.edges) == before:
                return root
            root = components(self.count, self.edges)


def _straighten(ties: Ties, grid: Ids) -> None:
    """Tie a grid's labels until they vary along one of its dimensions at most.

    Without any hint the last one stays free: so do the halves of a channel shuffle.
    """
    varying = [dim for dim in range(grid.ndim) if (grid != grid.take([0], axis=dim)).any()]
    if len(varying) > 1:
        ties.tie_along(grid, varying[:-1], "")


def components(count: int, edges: Sequence[tuple[Ids, Ids]]) -> Ids:
    """For each of `count` nodes the lowest one that edges connect it with."""
    root = np.arange(count, dtype=np.int64)
    if not edges:
        return root
    one, two = (np.concatenate(ends) for ends in zip(*edges, strict=True))
    while True:
        first, second = root[one], root[two]
        if (first == second).all():
            return root
        low = np.minimum(first, second)
        np.minimum.at(root, first, low)
        np.minimum.at(root, second, low)
        while (root != root[root]).any():
            root = root[root]
