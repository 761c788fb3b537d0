"""Labels behind operations that work on each entry alone, and how labels of operands are merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pruning.structured.channel_labels import Ids, Labels, Note
from pruning.structured.label_trace import Trace

_SUMS = {"add", "add_", "sub", "sub_", "rsub"}
_PRODUCTS = {"mul", "mul_"}


@dataclass(eq=False)
class Merged:
    """Labels that several operands have along the same dimensions.

    operands: numbers of the operands that have them, with whether a removed entry is 0 there.
    """

    ids: Ids
    operands: dict[int, bool]


def merge(trace: Trace, notes: Sequence[Note], shapes: Sequence[Sequence[int]]) -> list[Merged]:
    """Tie the labels of operands that are broadcast against each other.

    Labels of one operand are locked where another one has entries of its own without labels.

    Args:
        shapes: of the operands, of as many dimensions as `notes` have.
    """
    merged: list[Merged] = []
    why = f"{trace.where_now()}: it meets entries that are no channels of the network"
    for number, note in enumerate(notes):
        for labels in note:
            one = Merged(labels.ids, {number: labels.zero})
            for other in [m for m in merged if _overlap(m.ids, one.ids)]:
                trace.ties.tie(other.ids, one.ids, why)
                ids = np.broadcast_to(
                    other.ids, np.broadcast_shapes(one.ids.shape, other.ids.shape)
                )
                one = Merged(ids, {**other.operands, **one.operands})
                merged.remove(other)
            merged.append(one)
    for one in merged:
        varying = [dim for dim, size in enumerate(one.ids.shape) if size > 1]
        for number, shape in enumerate(shapes):
            if number not in one.operands and any(shape[dim] > 1 for dim in varying):
                trace.ties.lock(one.ids, why)
    return merged


def _overlap(first: Ids, second: Ids) -> bool:
    return any(a > 1 and b > 1 for a, b in zip(first.shape, second.shape, strict=True))


def aligned(note: Note, shape: Sequence[int], ndim: int) -> tuple[Note, list[int]]:
    """Labels and shape with leading dimensions of size 1, up to `ndim`."""
    more = ndim - len(shape)
    wide = tuple(
        labels.with_ids(labels.ids.reshape((1,) * more + labels.ids.shape)) for labels in note
    )
    return wide, [1] * more + list(shape)


def elementwise(
    trace: Trace, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], outputs: Sequence[Any]
) -> list[Note]:
    """The labels of an operation that computes each entry from the entries in its place."""
    operands = [arg for arg in args if isinstance(arg, Tensor)]
    ndim = outputs[0].dim()
    pairs = [aligned(trace.note_of(tensor), tensor.shape, ndim) for tensor in operands]
    merged = merge(trace, [note for note, _ in pairs], [shape for _, shape in pairs])
    if func.overloadpacket.__name__ in _SUMS:
        _note_sum(trace, pairs, merged)
    elif func.overloadpacket.__name__ in _PRODUCTS:
        _note_gates(trace, [note for note, _ in pairs])
    note = tuple(Labels(one.ids, _keeps_zero(func, args, kwargs, one.operands)) for one in merged)
    return [note] * len(outputs)


def _note_sum(trace: Trace, pairs: Sequence[tuple[Note, list[int]]], merged: list[Merged]) -> None:
    for one in merged:
        activations = [
            number
            for number in one.operands
            if all(labels.origin is None for labels in pairs[number][0])
        ]
        if len(activations) > 1:
            trace.ties.sums.append(one.ids)


def _note_gates(trace: Trace, notes: Sequence[Note]) -> None:
    """Note labels of factors that are not 0 where a removed channel's other factor is."""
    zero = [labels.ids.ravel().tolist() for note in notes for labels in note if labels.zero]
    for labels in [one for note in notes for one in note if not one.zero]:
        if zero and labels.ids.ravel().tolist() not in zero:
            trace.ties.gates.append(labels.ids.ravel())


def _keeps_zero(
    func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], zeros: Mapping[int, bool]
) -> bool:
    """Whether the operation gives 0 where these operands are 0, whatever the others are: tried."""
    if not any(zeros.values()):
        return False
    number, probe = 0, []
    for arg in args:
        if isinstance(arg, Tensor):
            value = 0.0 if zeros.get(number, False) else 0.7310585
            probe.append(torch.full((1,), value, dtype=torch.float64).to(arg.dtype))
            number += 1
        else:
            probe.append(arg)
    try:
        result = func(*probe, **{k: v for k, v in kwargs.items() if k not in ("device", "out")})
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        return False
    return isinstance(result, Tensor) and bool((result == 0).all())
