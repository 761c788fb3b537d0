"""Weights in the memory format in which convolutions are fastest, without the one case that oneDNN
computes wrongly in it.

oneDNN's backward pass of a strided 1x1 convolution with fewer input channels than its vectors have
lanes (8 with AVX2, 16 with AVX-512) writes past its workspace where images are channels_last
(uxlfoundation/oneDNN issue 6035, open on 2026-11-30): the gradient is wrong, or the process dies.
Pruned residual networks have such layers, the shortcuts of their narrow stages.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

LANES = 16  # of the widest vectors


def to_channels_last(model: nn.Module) -> nn.Module:
    """The network itself with its weights in channels_last memory, and its strided 1x1 convolutions
    with a hook that keeps oneDNN off its faulty path while gradients are computed; on every device,
    so that a trial computes the same wherever it goes on."""
    moved: nn.Module = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in moved.modules():
        if _is_strided_pointwise(module) and _crop_unread not in module._forward_pre_hooks.values():
            module.register_forward_pre_hook(_crop_unread)
    return moved


def _is_strided_pointwise(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
        and module.padding in {(0, 0), "valid"}
        and module.groups == 1
    )


def _crop_unread(module: nn.Conv2d, inputs: tuple[Any, ...]) -> Tensor | None:
    """The input without its last rows and columns, which no window of a strided 1x1 convolution
    reads: the output is the same, and oneDNN takes another path, as the input's size is no multiple
    of the stride any more."""
    x: Tensor = inputs[0]
    if x.shape[-3] >= LANES or not torch.is_grad_enabled():
        return None
    height, width = (
        size - (size - 1) % step for size, step in zip(x.shape[-2:], module.stride, strict=True)
    )
    return x[..., :height, :width]
