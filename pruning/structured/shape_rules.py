"""What changes of shape do to labels: views, permutations, joining and taking apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from pruning.structured.channel_labels import FIXED, Ids, Labels, Note, Width
from pruning.structured.label_trace import Trace, squeeze_constant

Args = Sequence[Any]
Kwargs = Mapping[str, Any]


def same(trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Args) -> list[Note]:
    """Copies and aliases."""
    return [trace.note_of(args[0])]


def _arranged(note: Note, change: Any) -> list[Note]:
    return [tuple(labels.with_ids(change(labels.ids)) for labels in note)]


def permute(trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Args) -> list[Note]:
    """Dimensions in another order."""
    return _arranged(trace.note_of(args[0]), lambda ids: ids.transpose(args[1]))


def transpose(trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Args) -> list[Note]:
    """Two dimensions swapped."""
    one, two = args[1:] if len(args) == 3 else (0, args[0].dim() - 1)
    return _arranged(trace.note_of(args[0]), lambda ids: ids.swapaxes(one, two))


def unsqueeze(trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Args) -> list[Note]:
    """A new dimension of size 1."""
    dim = args[1] % outputs[0].dim()
    return _arranged(trace.note_of(args[0]), lambda ids: np.expand_dims(ids, dim))


def squeeze(trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Args) -> list[Note]:
    """Dimensions of size 1 taken away."""
    shape = args[0].shape
    dims = range(len(shape)) if len(args) == 1 else np.atleast_1d(args[1]) % len(shape)
    gone = tuple(int(dim) for dim in dims if shape[dim] == 1)
    return _arranged(trace.note_of(args[0]), lambda ids: ids.squeeze(gone))


def expand(trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Args) -> list[Note]:
    """Broadcast: labels do not vary along the new entries."""
    more = outputs[0].dim() - args[0].dim()
    return _arranged(trace.note_of(args[0]), lambda ids: ids.reshape((1,) * more + ids.shape))


def repeat(trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Args) -> list[Note]:
    """Copies side by side along each dimension."""
    times = list(args[1])
    more = len(times) - args[0].dim()

    def tiled(ids: Ids) -> Ids:
        wide = ids.reshape((1,) * more + ids.shape)
        return np.tile(wide, [n if wide.shape[dim] > 1 else 1 for dim, n in enumerate(times)])

    return _arranged(trace.note_of(args[0]), tiled)


def view(trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Args) -> list[Note]:
    """A reshape: dimensions that are split or merged are matched by the products of their sizes."""
    old, new = tuple(args[0].shape), tuple(outputs[0].shape)
    steps = _segments(old, new)
    return _arranged(trace.note_of(args[0]), lambda ids: _viewed(trace, ids, old, new, steps))


Segment = tuple[range, range]


def _segments(old: Sequence[int], new: Sequence[int]) -> list[Segment]:
    """Runs of dimensions before and after a reshape that hold the same entries."""
    segments, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        start_i, start_j = i, j
        size_i, size_j = 1, 1
        while True:
            if size_i == size_j and (i > start_i or j > start_j) and size_i > 1:
                break
            if i < len(old) and (size_i <= size_j or j >= len(new)):
                size_i *= old[i]
                i += 1
            elif j < len(new):
                size_j *= new[j]
                j += 1
            else:
                break
        segments.append((range(start_i, i), range(start_j, j)))
    return segments


def _viewed(
    trace: Trace, ids: Ids, old: Sequence[int], new: Sequence[int], steps: Sequence[Segment]
) -> Ids:
    full, shape = list(ids.shape), [1] * len(new)
    for before, after in steps:
        if any(ids.shape[dim] > 1 for dim in before):
            for dim in before:
                full[dim] = old[dim]
            for dim in after:
                shape[dim] = new[dim]
            if _real(old, before) != 1 or _real(new, after) != 1:
                _note_view(trace, ids, old, new, before, after)
    return squeeze_constant(np.broadcast_to(ids, full).reshape(shape))


def _real(shape: Sequence[int], dims: range) -> int:
    """How many of these dimensions have more than one entry."""
    return sum(shape[dim] > 1 for dim in dims)


def _note_view(
    trace: Trace, ids: Ids, old: Sequence[int], new: Sequence[int], before: range, after: range
) -> None:
    """Note the grid of labels and the numbers that the running module computes with."""
    if len([dim for dim in ids.shape if dim > 1]) > len([d for d in before if ids.shape[d] > 1]):
        for dim in range(ids.ndim):  # the labels vary along other dimensions, too: one slice serves
            if dim not in before:
                ids = ids.take([0], axis=dim)
    part = np.broadcast_to(ids, [old[d] if d in before else 1 for d in range(len(old))])
    grid = part.reshape([new[dim] for dim in after])
    trace.ties.grids.append(grid)
    trace.ties.widths.append(Width(trace.module, part.ravel()))
    for shape in ([old[dim] for dim in before], [new[dim] for dim in after]):
        arranged = part.reshape(shape)
        for axis, size in enumerate(shape):
            if size > 1 and len(shape) > 1:
                line = np.moveaxis(arranged, axis, 0).reshape(size, -1)[:, 0]
                trace.ties.widths.append(Width(trace.module, line))


def concatenate(trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Args) -> list[Note]:
    """Tensors one after the other along a dimension."""
    tensors = [tensor for tensor in args[0] if tensor.numel()]
    dim = (args[1] if len(args) > 1 else 0) % outputs[0].dim()
    notes = [trace.note_of(tensor) for tensor in tensors]
    result = []
    along = [next((one for one in note if one.varies([dim])), None) for note in notes]
    if any(along):
        result.append(_chained(trace, func, along, tensors, dim))
    others = [[one for one in note if not one.varies([dim])] for note in notes]
    return [(*result, *_common(trace, func, others))]


def _chained(
    trace: Trace, func: Any, along: Sequence[Labels | None], tensors: Sequence[Tensor], dim: int
) -> Labels:
    parts, ndim = [], tensors[0].dim()
    for labels, tensor in zip(along, tensors, strict=True):
        ids = np.full([1] * ndim, FIXED) if labels is None else labels.ids
        other = tuple(d for d in range(ndim) if d != dim and ids.shape[d] > 1)
        if other:
            ids = trace.ties.tie_along(ids, other, trace.where(func))
        size = [tensor.shape[d] if d == dim else 1 for d in range(ndim)]
        parts.append(np.broadcast_to(ids, size))
    zero = all(labels.zero for labels in along if labels is not None)
    return Labels(np.concatenate(parts, axis=dim), zero)


def _common(trace: Trace, func: Any, notes: Sequence[Sequence[Labels]]) -> list[Labels]:
    """Labels that all tensors have along the same dimensions, tied; the others are locked."""
    result = []
    first, *rest = notes
    for labels in first:
        matches = [next((o for o in note if o.dims == labels.dims), None) for note in rest]
        found = [match for match in matches if match is not None]
        for match in found:
            trace.ties.tie(labels.ids, match.ids, trace.where(func))
        if len(found) == len(rest):
            result.append(Labels(labels.ids, labels.zero and all(m.zero for m in found)))
        else:
            trace.ties.lock(labels.ids, f"{trace.where(func)}: it is joined to no channels")
    kept = {labels.dims for labels in result}
    for labels in [one for note in rest for one in note if one.dims not in kept]:
        trace.ties.lock(labels.ids, f"{trace.where(func)}: it is joined to no channels")
    return result


def stack(trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Args) -> list[Note]:
    """Tensors side by side along a new dimension."""
    dim = (args[1] if len(args) > 1 else 0) % outputs[0].dim()
    common = _common(trace, func, [trace.note_of(tensor) for tensor in args[0]])
    return _arranged(tuple(common), lambda ids: np.expand_dims(ids, dim))


def split(trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Args) -> list[Note]:
    """A tensor in parts along a dimension; equal parts lose equal places, to stay equal."""
    dim = (args[2] if len(args) > 2 else kwargs.get("dim", 0)) % args[0].dim()
    sizes = [part.shape[dim] for part in outputs]
    notes: list[list[Labels]] = [[] for _ in outputs]
    for labels in trace.note_of(args[0]):
        if not labels.varies([dim]):
            for note in notes:
                note.append(labels)
            continue
        parts = np.split(labels.ids, np.cumsum(sizes)[:-1].tolist(), axis=dim)
        if len(set(sizes)) > 1:
            trace.ties.lock(labels.ids, f"{trace.where(func)}: it splits channels at fixed places")
        else:
            for part in parts[1:]:
                trace.ties.tie(part, parts[0], trace.where(func))
        trace.ties.widths += [Width(trace.module, p.ravel()) for p in (labels.ids, parts[0])]
        for note, part in zip(notes, parts, strict=True):
            note.append(Labels(part, labels.zero, labels.origin))
    return [tuple(note) for note in notes]


def unbind(trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Args) -> list[Note]:
    """The slices along a dimension."""
    dim = (args[1] if len(args) > 1 else 0) % args[0].dim()
    return [_selected(trace, func, trace.note_of(args[0]), dim)] * len(outputs)


def select(trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Args) -> list[Note]:
    """One slice along a dimension."""
    return [_selected(trace, func, trace.note_of(args[0]), args[1] % args[0].dim())]


def _selected(trace: Trace, func: Any, note: Note, dim: int) -> Note:
    """Slices must all stay: their entries are tied across them."""
    result = []
    for labels in note:
        if labels.dims == (dim,):
            trace.ties.lock(labels.ids, f"{trace.where(func)}: it takes single channels")
            continue
        ids = trace.ties.tie_along(labels.ids, [dim], trace.where(func))
        result.append(Labels(ids.squeeze(dim), labels.zero))
    return tuple(result)


def slice_(trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Args) -> list[Note]:
    """A range along a dimension; of channels only all of them."""
    x = args[0]
    dim = (args[1] if len(args) > 1 else 0) % x.dim()
    if x.shape == outputs[0].shape:
        return [trace.note_of(x)]
    note = []
    for labels in trace.note_of(x):
        if labels.varies([dim]):
            trace.ties.lock(labels.ids, f"{trace.where(func)}: it takes channels at fixed places")
        else:
            note.append(labels)
    return [tuple(note)]


def roll(trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Args) -> list[Note]:
    """Entries moved around along dimensions that hold no channels."""
    dims = args[2] if len(args) > 2 else args[1]
    chosen = [dim % args[0].dim() for dim in dims] or list(range(args[0].dim()))
    note = []
    for labels in trace.note_of(args[0]):
        if labels.varies(chosen):
            trace.ties.lock(labels.ids, f"{trace.where(func)}: it moves channels")
        else:
            note.append(labels)
    return [tuple(note)]


def index(trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Args) -> list[Note]:
    """Entries chosen by number along one dimension that holds no channels."""
    x = args[0]
    if func.overloadpacket.__name__ == "index_select":
        dim, chosen = args[1] % x.dim(), args[2]
    else:
        places = [dim for dim, one in enumerate(args[1]) if one is not None]
        dim, chosen = (places[0], args[1][places[0]]) if len(places) == 1 else (-1, None)
    note = []
    for labels in trace.note_of(x):
        if chosen is None or labels.varies([dim]):
            trace.ties.lock(labels.ids, f"{trace.where(func)}: it chooses entries by number")
            continue
        shape = labels.ids.shape
        ids = labels.ids.reshape(shape[:dim] + (1,) * chosen.dim() + shape[dim + 1 :])
        note.append(Labels(ids, labels.zero))
    return [tuple(note)]
