"""The weights of a network in 16 bits, cast by one kernel for all layers and their gradients cast
back by one, where autocast starts two for each layer: 44 of the 268 of a ResNet-20's step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

# What they compute, autocast computes in 16 bits, and their parameters are used for nothing else.
_LAYERS = {nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear}


class CastWeights:
    """The forward pass of a network whose convolutions and linear layers find their parameters cast
    already; it belongs in autocast. A parameter that layers of other kinds share is left to it.

    It gives the numbers of autocast as long as the network does nothing with these parameters
    beside calling their layers; who uses it has to compare.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        self._model, self._dtype = model, dtype
        users: dict[int, set[type[nn.Module]]] = {}
        for module in model.modules():
            for parameter in module.parameters(recurse=False):
                users.setdefault(id(parameter), set()).add(type(module))
        self._weights = {
            name: parameter
            for name, parameter in model.named_parameters()
            if users[id(parameter)] <= _LAYERS
            and parameter.requires_grad
            and parameter.dtype == torch.float32
        }

    def __call__(self, x: Tensor) -> Any:
        """What the network answers to images [B, C, H, W]."""
        cast = _Cast.apply(self._dtype, *self._weights.values())
        return functional_call(self._model, dict(zip(self._weights, cast, strict=True)), (x,))


class _Cast(torch.autograd.Function):
    """Tensors in another dtype, all at once, and their gradients in the first again."""

    @staticmethod
    def forward(context: Any, dtype: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:
        context.set_materialize_grads(False)
        return tuple(_cast(tensors, dtype))

    @staticmethod
    def backward(context: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        there = [gradient for gradient in gradients if gradient is not None]
        cast = iter(_cast(there, torch.float32))
        return None, *(None if gradient is None else next(cast) for gradient in gradients)


def _cast(tensors: Any, dtype: torch.dtype) -> list[Tensor]:
    made = [torch.empty_like(tensor, dtype=dtype) for tensor in tensors]
    if made:
        torch._foreach_copy_(made, list(tensors))
    return made
