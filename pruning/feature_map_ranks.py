"""Ranks of feature maps: how much information a channel's activations carry, on average over images
(HRank, Lin et al. 2020)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pruning.eval_mode import exact_eval_mode
from pruning.structured.channel_labels import Note
from pruning.structured.group_parts import Group
from pruning.structured.label_trace import plain_attention
from pruning.structured.operation_rules import trace_labels

_ACTIVATIONS = frozenset(
    (
        *("relu", "hardtanh", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "tanh"),
        *("hardswish", "clamp", "clamp_min", "softplus", "prelu", "_prelu_kernel"),
    )
)
_PRODUCTS = frozenset(("convolution", "mm", "addmm", "bmm", "baddbmm"))
# What a group's maps are taken from: the first of these kinds that it has.
_KINDS = ("activation", "norm", "layer")


def mean_ranks(
    model: nn.Module,
    groups: Sequence[Group],
    batches: Iterable[Tensor],
    *,
    notes: list[str] | None = None,
) -> dict[str, Tensor]:
    """Mean rank of each channel's maps over images, in eval mode (Lin et al. 2020, arXiv
    2002.10179).

    A map is what an activation function (ReLU as a rule) returns for one image and channel,
    [height, width], before any pooling. A residual group has several activations, after the stem
    and after each addition; their ranks are averaged. Where no activation follows, as in the linear
    bottlenecks of MobileNetV2, a map is what the norms of the group return (the authors' HRankPlus
    takes the same), or where there is none, its layers. The output of a linear layer is a 1 x 1
    map, so that its rank is 1 where the neuron is active and else 0; a channel's values for several
    tokens are one row.

    The rank is `torch.linalg.matrix_rank`'s with its default tolerance, on the CPU whatever the
    device: batched decompositions of small matrices are no faster elsewhere, and a map then has one
    rank everywhere.

    Args:
        groups: of the model, see `channel_groups.find_groups`.
        batches: images [B, C, H, W] on the model's device.
        notes: is given a sentence where no activation follows a group, and one where most channels
            have full rank in every image, as with activations that cut nothing off: ranks then do
            not tell them apart.

    Returns:
        By group, float64 [channels]; sums of whole numbers over one count, so that equal means are
        equal exactly. 0 for a group that has no maps.

    Raises:
        ValueError: no image.
    """
    images = 0
    ranks = _Ranks(groups)
    with exact_eval_mode(model):
        twin = copy.deepcopy(model)  # its layers get hooks
        trace = trace_labels(twin, lambda func, out, note: ranks.visit(func, out, note, trace))
        ranks.find_units(trace.labels, trace.ties.count)
        for x in batches:
            with plain_attention(), trace:
                if not images:
                    ranks.choose_kinds = True
                    twin(x[:2])
                    ranks.choose_kinds = False
                twin(x)
            images += len(x)
    if not images:
        raise ValueError("ranks need at least 1 image, but got 0")
    if notes is not None:
        notes += ranks.describe()
    return {name: ranks.sums[name].double() / ranks.maps[name].clamp_min(1) for name in ranks.sums}


class _Ranks:
    """Watches a network that runs and adds up, for each group, the ranks of its maps.

    choose_kinds: whether this pass only looks what kinds of maps the groups have.
    kinds: by group, the kind of its maps, see `_KINDS`.
    sums, maps, largest: by group and channel, the sum of ranks, the number of maps so far, and what
        the sum of ranks were if all maps had full rank.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups, self.choose_kinds = groups, False
        self.kinds: dict[str, str] = {}
        channels = {group.name: group.channels for group in groups}
        self.sums = {name: torch.zeros(size, dtype=torch.int64) for name, size in channels.items()}
        self.maps = {name: torch.zeros_like(zeros) for name, zeros in self.sums.items()}
        self.largest = {name: torch.zeros_like(zeros) for name, zeros in self.sums.items()}
        self._layers = {g.name: {part.layer for part in g.of_role("writes")} for g in groups}
        self._group_of, self._unit_of = np.zeros(0, np.int64), np.zeros(0, np.int64)

    def find_units(self, labels: Any, count: int) -> None:
        """Note for every label its group and unit, -1 where it has none."""
        self._group_of, self._unit_of = np.full(count, -1), np.full(count, -1)
        for number, group in enumerate(self.groups):
            for part in group.parts:
                unit = part.unit.numpy()
                ids = labels[part.tensor, part.dim][unit >= 0]
                self._group_of[ids], self._unit_of[ids] = number, unit[unit >= 0]

    def visit(self, func: Any, output: Tensor, note: Note, trace: Any) -> None:
        """Take the maps of every group whose channels an operation returns along one dimension."""
        operation = func.overloadpacket.__name__.removesuffix("_")
        for labels in note if output.is_floating_point() else ():
            if len(labels.dims) != 1 or labels.dims == (0,) or labels.origin is not None:
                continue
            ids = labels.ids.ravel()
            for number in np.unique(self._group_of[ids]).tolist():
                if number < 0:
                    continue
                group = self.groups[number]
                kind = _kind_of(operation, trace.module in self._layers[group.name])
                if self.choose_kinds:
                    self._choose(group.name, kind)
                elif kind and kind == self.kinds.get(group.name):
                    mine = self._group_of[ids] == number
                    unit = torch.from_numpy(self._unit_of[ids][mine])
                    place = torch.from_numpy(np.flatnonzero(mine)).to(output.device)
                    maps = output.movedim(labels.dims[0], 1).index_select(1, place)
                    self._add(group.name, maps, unit)

    def _choose(self, group: str, kind: str) -> None:
        if kind:
            self.kinds[group] = min(self.kinds.get(group, kind), kind, key=_KINDS.index)

    def _add(self, name: str, maps: Tensor, unit: Tensor) -> None:
        """Add the ranks of maps [images, entries, ...], of which each unit has some."""
        if maps.dim() != 4:  # the values of one unit are a row
            order = torch.argsort(unit, stable=True)
            maps, unit = maps[:, order.to(maps.device)], unit[order].unique()
            maps = maps.reshape(len(maps), len(unit), 1, -1)
        ranks = torch.linalg.matrix_rank(maps.float().cpu()).sum(0)
        self.sums[name].index_add_(0, unit, ranks)
        self.maps[name].index_add_(0, unit, torch.full_like(unit, len(maps)))
        full = torch.full_like(unit, len(maps) * min(maps.shape[2:]))
        self.largest[name].index_add_(0, unit, full)

    def describe(self) -> list[str]:
        """Sentences for the row: see `mean_ranks`."""
        notes, total = [], len(self.groups)
        none = [group for group in self.groups if not self.maps[group.name].any()]
        if linear := [name for name, kind in self.kinds.items() if kind != _KINDS[0]]:
            notes.append(
                f"no activation follows {len(linear)} of {total} groups: ranked by the maps as "
                "they are"
            )
        if none:
            notes.append(f"{len(none)} of {total} groups have no maps: ranked by the L1 norm")
        full = sum(int((self.sums[name] == self.largest[name]).sum()) for name in self.sums)
        channels = sum(group.channels for group in self.groups)
        if full > channels / 2:
            notes.append(
                f"the maps of {full} of {channels} channels have full rank in every image: among "
                "these the L1 norm decides"
            )
        return notes


def _kind_of(operation: str, produces: bool) -> str:
    """The kind of maps that an operation returns; empty if they are none."""
    if operation in _ACTIVATIONS:
        return "activation"
    if "batch_norm" in operation or operation in ("native_group_norm", "native_layer_norm"):
        return "norm"
    return "layer" if operation in _PRODUCTS and produces else ""


def lexicographic(first: Tensor, second: Tensor) -> Tensor:
    """Scores that order by `first` and, where it ties, by `second`; where both tie, the lower index
    scores higher.

    Args:
        first, second: [n].

    Returns:
        0 ... n - 1 in some order, [n].
    """
    best = torch.argsort(second, descending=True, stable=True)
    best = best[torch.argsort(first[best], descending=True, stable=True)]
    scores = torch.empty(len(best))
    scores[best] = torch.arange(len(best) - 1, -1, -1, dtype=scores.dtype)
    return scores
