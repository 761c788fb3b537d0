"""What normalisation does to labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from pruning.structured.channel_labels import Labels, Note
from pruning.structured.label_trace import Trace
from pruning.structured.layer_rules import Args, Kwargs, along, channels_of


def batch_norm(
    trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Sequence[Any]
) -> list[Note]:
    """Batch-norm: each channel alone."""
    x, vectors = args[0], [tensor for tensor in args[1:5] if isinstance(tensor, Tensor)]
    live = any(arg is True for arg in args[5:6])
    parts = [labels for tensor in vectors for labels in trace.note_of(tensor)]
    note = []
    for labels in trace.note_of(x):
        if labels.dims == (1,):
            for part in parts:
                trace.ties.tie(part.ids.ravel(), labels.ids.ravel(), trace.where(func))
            affine = args[1] is not None
            note.append(Labels(labels.ids, affine or labels.zero))
        else:
            if live or labels.varies([1]):
                trace.ties.lock(labels.ids, f"{trace.where(func)}: it normalises over channels")
            note.append(Labels(labels.ids, False))
    if along(tuple(trace.note_of(x)), 1) is None:
        for part in parts:
            trace.ties.lock(part.ids, f"{trace.where(func)}: it reads what are no channels")
    if len(args) > 4 and isinstance(args[4], Tensor):
        trace.ties.scales |= {p.origin for p in trace.note_of(args[4]) if p.origin is not None}
    return [tuple(note), *[()] * (len(outputs) - 1)]


def layer_norm(
    trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Sequence[Any]
) -> list[Note]:
    """Layer-norm: its channels cannot be cut, as zeroed ones count and removed ones do not."""
    normalised = range(args[0].dim() - len(args[1]), args[0].dim())
    why = f"{trace.where(func)}: it normalises over all channels, so that 0 is not the same as gone"
    kept = []
    for labels in trace.note_of(args[0]):
        if not labels.varies(normalised):
            kept.append(labels.changed(zero=False))
        elif len(labels.dims) > 1 and not set(labels.dims) <= set(normalised):
            dims = [dim for dim in labels.dims if dim in normalised]
            kept.append(Labels(trace.ties.tie_along(labels.ids, dims, why), False))
        else:
            trace.ties.lock(labels.ids, why)
            kept.append(labels.changed(zero=False))
    for tensor in args[2:4]:
        for labels in trace.note_of(tensor):
            trace.ties.lock(labels.ids, why)
    return [tuple(kept), *[()] * (len(outputs) - 1)]


def group_norm(
    trace: Trace, func: Any, args: Args, kwargs: Kwargs, outputs: Sequence[Any]
) -> list[Note]:
    """Group-norm: the channels of one of its groups go together."""
    x, weight, bias, groups = args[0], args[1], args[2], args[6]
    here = channels_of(trace, func, trace.note_of(x), 1)
    parts = [p for tensor in (weight, bias) for p in trace.note_of(tensor)]
    if here is None:
        for part in parts:
            trace.ties.lock(part.ids, f"{trace.where(func)}: it reads what are no channels")
        return [()] * len(outputs)
    trace.ties.tie_along(here.ids.reshape(groups, -1), [1], trace.where(func))
    for part in parts:
        trace.ties.tie(part.ids.ravel(), here.ids.ravel(), trace.where(func))
    note = (Labels(here.ids, weight is not None or here.zero),)
    return [note, *[()] * (len(outputs) - 1)]
