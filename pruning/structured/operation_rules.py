"""What each operation does to labels: a rule per operation, and a sound answer where there is none.

A rule takes the trace, the operation, its arguments and its outputs, and returns the labels of each
output. An operation that no rule is written for locks all labels it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pruning.structured import layer_rules, norm_rules, shape_rules
from pruning.structured.channel_labels import Note
from pruning.structured.elementwise_rules import elementwise
from pruning.structured.label_trace import Trace, Watcher

Rule = Callable[..., list[Note]]


def _named(rule: Rule, *names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, rule)


RULES: Mapping[str, Rule] = {
    **_named(layer_rules.convolution, "convolution"),
    **_named(layer_rules.matrix_product, "mm", "bmm"),
    **_named(layer_rules.sum_and_product, "addmm", "baddbmm"),
    **_named(
        norm_rules.batch_norm,
        *("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training"),
        *("cudnn_batch_norm", "miopen_batch_norm", "_batch_norm_with_update"),
        "_batch_norm_no_update",
    ),
    **_named(norm_rules.layer_norm, "native_layer_norm"),
    **_named(norm_rules.group_norm, "native_group_norm"),
    **_named(layer_rules.softmax, "_softmax", "_safe_softmax", "_log_softmax"),
    **_named(
        layer_rules.reduction,
        *("mean", "sum", "amax", "amin", "var", "var_mean", "std", "linalg_vector_norm", "norm"),
        *("max", "min", "prod", "any", "all", "argmax", "logsumexp"),
    ),
    **_named(
        layer_rules.pooling,
        *("max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d"),
        *("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d", "constant_pad_nd"),
        *("max_pool3d_with_indices", "avg_pool3d", "_adaptive_avg_pool3d", "adaptive_max_pool3d"),
        *("reflection_pad1d", "reflection_pad2d", "replication_pad2d", "_upsample_bilinear2d_aa"),
        *("upsample_linear1d", "upsample_nearest1d", "upsample_nearest3d", "avg_pool1d"),
    ),
    **_named(shape_rules.view, "view", "_unsafe_view", "reshape", "_reshape_alias"),
    **_named(shape_rules.same, "alias", "detach", "clone", "_to_copy", "contiguous", "lift_fresh"),
    **_named(shape_rules.permute, "permute"),
    **_named(shape_rules.transpose, "transpose", "t"),
    **_named(shape_rules.unsqueeze, "unsqueeze"),
    **_named(shape_rules.squeeze, "squeeze"),
    **_named(shape_rules.expand, "expand"),
    **_named(shape_rules.repeat, "repeat"),
    **_named(shape_rules.concatenate, "cat"),
    **_named(shape_rules.stack, "stack"),
    **_named(shape_rules.split, "split", "split_with_sizes"),
    **_named(shape_rules.unbind, "unbind"),
    **_named(shape_rules.select, "select"),
    **_named(shape_rules.slice_, "slice"),
    **_named(shape_rules.roll, "roll", "flip"),
    **_named(shape_rules.index, "index", "index_select"),
}
# Elementwise too, also in place, though PyTorch (2.11 to 2.15) does not tag all forms of them so.
_UNTAGGED = {"hardswish", "mish", "native_dropout", "_prelu_kernel", "celu", "elu", "hardsigmoid"}
_UNTAGGED |= {"hardtanh", "leaky_relu", "log_sigmoid_forward", "rrelu_with_noise", "bernoulli"}
_NEW = {"empty", "zeros", "ones", "full", "arange", "new_zeros", "new_ones", "new_full"}
_NEW |= {"new_empty", "fill_", "zero_"}
# Made in the shape of another tensor, so that it loses the channels that this one loses.
_LIKE = {"empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like"}


def tensors_in(values: Sequence[Any]) -> list[Tensor]:
    """All tensors among an operation's arguments, lists of tensors included."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, tuple | list):
            found += [part for part in value if isinstance(part, Tensor)]
    return found


def label_outputs(
    trace: Trace, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], outputs: Sequence[Any]
) -> list[Note]:
    """The labels of each output of an operation; ties and locks labels on the way."""
    name = func.overloadpacket.__name__
    tensors = tensors_in([*args, *kwargs.values()])
    if name in _NEW or not any(trace.note_of(tensor) for tensor in tensors):
        return [()] * len(outputs)
    if name in _LIKE:
        return [tuple(labels.changed(zero=False) for labels in trace.note_of(args[0]))]
    if name in RULES:
        return RULES[name](trace, func, args, kwargs, outputs)
    if torch.Tag.pointwise in func.tags or name.removesuffix("_") in _UNTAGGED:
        return elementwise(trace, func, args, kwargs, outputs)
    for tensor in tensors:
        for labels in trace.note_of(tensor):
            trace.ties.lock(labels.ids, f"{trace.where(func)}: what '{name}' does is not known")
    return [()] * len(outputs)


def trace_labels(model: nn.Module, watcher: Watcher | None = None) -> Trace:
    """A trace of a network by all the rules here; the network must be a copy, see `Trace`."""
    return Trace(model, label_outputs, watcher)
