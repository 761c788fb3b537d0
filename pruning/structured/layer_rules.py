"""What layers do to labels: products, convolutions, normalisation, reductions, pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from pruning.structured.channel_labels import Ids, Labels, Note
from pruning.structured.elementwise_rules import Merged, aligned, merge
from pruning.structured.label_trace import Trace

Args = Sequence[Any]
Kwargs = Mapping[str, Any]


def _sum_over(trace: Trace, func: Any, first: Labels | None, second: Labels | None) -> None:
    """Two operands are multiplied and summed over a dimension, along which these labels vary.

    A removed entry must add nothing: one operand must be 0 there. A weight's columns are not zeroed
    in the masked network, so they do not count.
    """
    here = [labels for labels in (first, second) if labels is not None]
    for labels in here:
        if labels.origin is not None:
            trace.ties.readers.add(labels.origin)
    if len(here) == 1:
        trace.ties.lock(here[0].ids, f"{trace.where(func)}: it reads what are no channels")
        return
    ids = [labels.ids.ravel() for labels in here]
    trace.ties.tie(ids[0], ids[1], f"{trace.where(func)}: it reads what are no channels")
    if not any(labels.zero and labels.origin is None for labels in here):
        reason = "a removed channel would not be 0 where it is read"
        trace.ties.lock(ids[0], f"{trace.where(func)}: {reason}")


def _written(trace: Trace, labels: Labels) -> None:
    if labels.origin is not None:
        trace.ties.writers.setdefault(labels.origin, labels.ids.ravel())


def _split_note(
    trace: Trace, func: Any, note: Note, dim: int
) -> tuple[Labels | None, tuple[Labels, ...]]:
    """The labels along the dimension that is summed over, and the others.

    Labels that vary along it and along another one are tied along it.
    """
    along, others = None, []
    for labels in note:
        if labels.dims == (dim,):
            along = labels
        elif labels.varies([dim]):
            ids = trace.ties.tie_along(labels.ids, [dim], trace.where(func))
            others.append(Labels(ids, labels.zero))
        else:
            others.append(labels)
    return along, tuple(others)


def _product(
    trace: Trace, func: Any, notes: Sequence[Note], shapes: Sequence[Sequence[int]]
) -> Note:
    """Labels of [b, n, k] @ [b, k, m]."""
    left, rows = _split_note(trace, func, notes[0], 2)
    right, columns = _split_note(trace, func, notes[1], 1)
    if left is not None or right is not None:
        _sum_over(trace, func, left, right)
    if left is not None and right is not None and not (left.origin or right.origin):
        # Queries and keys: attention is scaled by their width, so that one head's stays whole.
        trace.ties.tie_along(left.ids, [2], trace.where(func))
    for labels in columns:
        if labels.dims == (2,):
            _written(trace, labels)
    for labels in rows:
        if labels.dims == (1,):
            _written(trace, labels)
    (b, n, _), (_, _, m) = shapes
    return _as_note(merge(trace, [rows, columns], [(b, n, 1), (b, 1, m)]))


def _as_note(merged: Sequence[Merged]) -> Note:
    """Labels of a product of the operands: 0 where one of them is."""
    return tuple(Labels(one.ids, any(one.operands.values())) for one in merged)


def matrix_product(
    trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Sequence[Any]
) -> list[Note]:
    """mm and bmm."""
    ndim = outputs[0].dim()
    pairs = [aligned(trace.note_of(arg), arg.shape, 3) for arg in args[:2]]
    note = _product(trace, func, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    if ndim == 2:
        note = tuple(labels.with_ids(labels.ids[0]) for labels in note)
    return [note]


def sum_and_product(
    trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Sequence[Any]
) -> list[Note]:
    """addmm and baddbmm: a bias and a product."""
    (note,) = matrix_product(trace, func, args[1:], kwargs, outputs)
    return [_add_bias(trace, note, outputs[0], args[0])]


def _add_bias(trace: Trace, note: Note, output: Tensor, bias: Tensor) -> Note:
    ndim = output.dim()
    pairs = [(note, list(output.shape)), aligned(trace.note_of(bias), bias.shape, ndim)]
    merged = merge(trace, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    # A bias along another dimension is added to removed channels, too.
    return tuple(
        Labels(one.ids, len(one.operands) == 2 and all(one.operands.values())) for one in merged
    )


def convolution(
    trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Sequence[Any]
) -> list[Note]:
    """Convolutions of any number of dimensions, grouped and transposed ones too."""
    x, weight, bias = args[:3]
    transposed, groups = args[6], args[8]
    reads, writes = (0, 1) if transposed else (1, 0)
    here = channels_of(trace, func, trace.note_of(x), 1)
    inward, outward = (along(trace.note_of(weight), dim) for dim in (reads, writes))
    if groups > 1 and transposed:
        for labels in (here, inward, outward, *trace.note_of(bias)):
            if labels is not None:
                why = f"{trace.where(func)}: a grouped transposed convolution"
                trace.ties.lock(labels.ids, why)
        return [()]
    if groups > 1:
        _tie_groups(trace, func, here, inward, outward, groups)
    elif here is not None or inward is not None:
        _sum_over(trace, func, here, inward)
    if not any(labels.origin is not None for labels in trace.note_of(weight)):
        trace.ties.computed.append(trace.where(func))
    if outward is None:
        return [()]
    if outward.origin is None:
        trace.ties.lock(outward.ids, f"{trace.where(func)}: its weight is computed as it runs")
    depthwise = groups > 1 and groups == x.shape[1] == outputs[0].shape[1]
    if not depthwise:
        _written(trace, outward)
    elif outward.origin is not None:
        trace.ties.depthwise.add(outward.origin)
    shape = [1] * outputs[0].dim()
    shape[1] = -1
    note: Note = (Labels(outward.ids.reshape(shape), outward.zero),)
    if bias is not None:
        for labels in trace.note_of(bias):
            trace.ties.tie(labels.ids.ravel(), outward.ids.ravel(), trace.where(func))
    return [note]


def along(note: Note, dim: int) -> Labels | None:
    return next((labels for labels in note if labels.dims == (dim,)), None)


def channels_of(trace: Trace, func: Any, note: Note, dim: int) -> Labels | None:
    """The labels along the channels; any others are locked."""
    for labels in note:
        if labels.dims != (dim,):
            reason = f"{trace.where(func)}: channels are not where it reads them"
            trace.ties.lock(labels.ids, reason)
    return along(note, dim)


def _tie_groups(
    trace: Trace,
    func: Any,
    here: Labels | None,
    inward: Labels | None,
    outward: Labels | None,
    groups: int,
) -> None:
    """The inputs and outputs of one group of a convolution go together."""
    if inward is not None:
        trace.ties.readers.add(inward.origin) if inward.origin else None
        trace.ties.lock(inward.ids, f"{trace.where(func)}: all groups share these columns")
    blocks = [
        trace.ties.tie_along(labels.ids.reshape(groups, -1), [1], trace.where(func))
        for labels in (here, outward)
        if labels is not None
    ]
    if len(blocks) == 2:
        trace.ties.tie(blocks[0], blocks[1], trace.where(func))
    elif blocks:
        trace.ties.lock(blocks[0], f"{trace.where(func)}: it reads what are no channels")


def _mixed(trace: Trace, func: Any, note: Note, dims: Sequence[int]) -> tuple[Note, Note]:
    """Labels that live on when entries along these dimensions are mixed, and those that end."""
    lives, ends = [], []
    for labels in note:
        inside = [dim for dim in labels.dims if dim in dims]
        if inside and len(inside) == len(labels.dims):
            ends.append(labels)
        elif inside:
            ids = trace.ties.tie_along(labels.ids, inside, trace.where(func))
            lives.append(Labels(ids, labels.zero))
        else:
            lives.append(labels)
    return tuple(lives), tuple(ends)


def softmax(
    trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Sequence[Any]
) -> list[Note]:
    """Softmax: no entry is 0 behind it."""
    dim = args[1] % args[0].dim()
    lives, ends = _mixed(trace, func, trace.note_of(args[0]), [dim])
    for labels in ends:
        trace.ties.lock(labels.ids, f"{trace.where(func)}: softmax over channels")
    return [tuple(labels.changed(zero=False) for labels in lives)]


def reduction(
    trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Sequence[Any]
) -> list[Note]:
    """Sums, means and the like over some dimensions."""
    x = args[0]
    names = [argument.name for argument in func._schema.arguments]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    dims = given.get("dim")
    chosen = list(range(x.dim())) if dims is None or dims == [] else np.atleast_1d(dims) % x.dim()
    inside = [int(dim) for dim in chosen]
    lives, ends = _mixed(trace, func, trace.note_of(x), inside)
    for labels in ends:
        if labels.origin is not None:
            trace.ties.readers.add(labels.origin)
        if func.overloadpacket.__name__ != "sum" or not labels.zero or labels.origin is not None:
            name = func.overloadpacket.__name__
            trace.ties.lock(labels.ids, f"{trace.where(func)}: '{name}' over channels")
    if not given.get("keepdim", False):
        lives = tuple(labels.with_ids(_without(labels.ids, inside)) for labels in lives)
    keeps = func.overloadpacket.__name__ not in ("prod", "any", "all", "argmax", "logsumexp")
    return [tuple(labels.changed(zero=labels.zero and keeps) for labels in lives)] * len(outputs)


def _without(ids: Ids, dims: Sequence[int]) -> Ids:
    return ids.squeeze(tuple(dims)) if dims else ids


def pooling(
    trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Sequence[Any]
) -> list[Note]:
    """Pooling, resizing and padding of maps; channels pass through."""
    x = args[0]
    changed = [dim for dim in range(x.dim()) if x.shape[dim] != outputs[0].shape[dim]]
    if func.overloadpacket.__name__ != "constant_pad_nd":
        rank = next(int(sides) for sides in "321" if f"{sides}d" in func.overloadpacket.__name__)
        changed = list(range(x.dim() - rank, x.dim()))
    note = []
    for labels in trace.note_of(x):
        if labels.varies(changed):
            trace.ties.lock(labels.ids, f"{trace.where(func)}: it mixes or pads channels")
        else:
            note.append(labels.changed(zero=labels.zero))
    padded = func.overloadpacket.__name__ == "constant_pad_nd" and any(args[2:3])
    passed = tuple(labels.changed(zero=labels.zero and not padded) for labels in note)
    return [passed] * len(outputs)
