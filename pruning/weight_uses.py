"""How a forward pass uses the weights of a network: seen at the operations that run, not guessed
from the classes of its layers.

A weight is used as itself where the operand of a convolution or matrix product is the parameter's
own memory, or a copy of it. Whatever calls it counts: a layer, `functional.linear` on a layer's
weight, the packed projection of `nn.MultiheadAttention`, each step of a recurrent layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from pruning.eval_mode import eval_mode

_CONVOLUTIONS = ("convolution", "_convolution", "convolution_overrideable", "cudnn_convolution")
_COPIES = ("clone", "_to_copy", "contiguous", "cat", "stack", "view_copy", "t_copy")


@dataclass
class WeightUse:
    """How one weight is used in one forward pass.

    macs: multiply-accumulates for one image, dense. runs: products that it is an operand of.
    as_layer: whether it is in all of them the whole weight of a convolution or of x @ W.T.
    altered_by: an operation that makes another tensor of it, else "".
    """

    macs: int = 0
    runs: int = 0
    as_layer: bool = True
    altered_by: str = ""


@dataclass
class ForwardUses:
    """What one forward pass multiplies.

    weights: by name, in the order of their first use; a weight that is not used is not in it.
    other_weights: multiply-accumulates with parameters that were not asked for, `others` their
    names. products: those of two activations, as attention's. output: what the network returned.
    """

    weights: dict[str, WeightUse] = field(default_factory=dict)
    other_weights: int = 0
    others: list[str] = field(default_factory=list)
    products: int = 0
    output: Any = None


def trace_weights(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    image: tuple[int, int, int],
    *,
    gradients: bool = False,
) -> ForwardUses:
    """Run one image through the network, in eval mode, and see how it uses the weights.

    A random one, always the same: what a network does with a zero image alone, such as to leave out
    a branch, is not what it does with photographs.

    The pass runs on the device and in the precision of the model's first parameter; modes are put
    back afterwards.

    Args:
        weights: those to look for, by name; parameters of the model.
        image: (channels, height, width).
        gradients: keep the graph, so that the output can be differentiated.
    """
    like = next(model.parameters(), torch.empty(0))
    watch = WeightWatch(model, weights)
    x = torch.rand(1, *image, generator=torch.Generator().manual_seed(0))
    x = x.to(like.device, like.dtype)
    with eval_mode(model), torch.set_grad_enabled(gradients), plain_kernels(), watch:
        watch.uses.output = model(x)
    return watch.uses


@contextmanager
def plain_kernels() -> Iterator[None]:
    """Attention and recurrent layers as the products that they are made of, not as one kernel."""
    fast, cudnn = torch.backends.mha.get_fastpath_enabled(), torch.backends.cudnn.enabled
    torch.backends.mha.set_fastpath_enabled(False)
    torch.backends.cudnn.enabled = False
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch.backends.cudnn.enabled = cudnn


class WeightWatch(TorchDispatchMode):
    """Notes which operations take the weights, below autograd, while it is active.

    at_use: called with the other operand before a product with one of the weights.
    """

    def __init__(
        self,
        model: nn.Module,
        weights: Mapping[str, Tensor],
        *,
        at_use: Callable[[Tensor], None] | None = None,
    ) -> None:
        super().__init__()
        self._at_use = at_use
        self.uses = ForwardUses()
        self._weights = dict(weights)
        self._spans: dict[int, list[tuple[int, int, str]]] = {}
        for name, weight in weights.items():
            start = int(weight.storage_offset())
            span = (start, start + weight.numel(), name)
            self._spans.setdefault(_storage(weight), []).append(span)
        self._others = {_storage(parameter): name for name, parameter in model.named_parameters()}
        # Copies of a weight, by storage: the tensors stay alive, so that no storage is used again.
        self._copies: dict[int, tuple[Tensor, tuple[str, ...]]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        operation = func.overloadpacket.__name__
        operands = _operands(operation, args)
        if self._at_use and operands and self._names(operands[1]):
            self._at_use(operands[0])
        result = func(*args, **(kwargs or {}))
        if operands:
            macs = _macs(operation, args, operands, result)
            self._add_product(operands, macs, transposed=_is_transposed(operation, args))
            return result
        if operation == "mkldnn_rnn_layer":
            # All steps of a recurrent layer at once: input [steps, batch, in], then its weights.
            for weight in args[1:3]:
                macs = prod(args[0].shape[:2]) * weight.numel()
                self._add_product([weight, args[0]], macs, transposed=True)
            return result
        tensors = list(_flatten([*args, *(kwargs or {}).values()]))
        names = [name for tensor in tensors for name in self._names(tensor)]
        if names:
            self._note_other(operation, func, names, result)
        return result

    def _add_product(self, operands: Sequence[Tensor], macs: int, *, transposed: bool) -> None:
        named = [(name, tensor) for tensor in operands for name in self._names(tensor)]
        if not named:
            others = [self._others.get(_storage(tensor)) for tensor in operands]
            if any(others):
                self.uses.other_weights += macs
                new = (name for name in others if name and name not in self.uses.others)
                self.uses.others.extend(new)
            else:
                self.uses.products += macs
        for index, (name, tensor) in enumerate(named):
            use = self.uses.weights.setdefault(name, WeightUse())
            use.macs += macs if not index else 0
            use.runs += 1
            shape = self._weights[name].shape
            whole = tensor.shape == (shape[::-1] if len(shape) == 2 else shape)
            second = tensor is operands[1]
            use.as_layer &= len(named) == 1 and second and whole and not transposed

    def _note_other(self, operation: str, func: Any, names: list[str], result: Any) -> None:
        """Take note of an operation that is no product: a view, a copy, or one that computes with
        the weight."""
        results = list(_flatten([result]))
        if not results:
            return
        if func._schema.is_mutable and operation != "copy_":
            results = []
        elif all(self._names(tensor) for tensor in results):
            return  # views
        elif operation in _COPIES or operation == "copy_":
            for tensor in results:
                self._copies[_storage(tensor)] = (tensor, tuple(names))
            return
        for name in names:
            use = self.uses.weights.setdefault(name, WeightUse())
            use.altered_by = use.altered_by or operation

    def _names(self, tensor: Tensor) -> tuple[str, ...]:
        """The weights whose memory, or a copy of it, a tensor is."""
        storage = _storage(tensor)
        if storage in self._copies:
            return self._copies[storage][1]
        if storage not in self._spans or not tensor.numel():
            return ()
        start = tensor.storage_offset()
        strides = zip(tensor.shape, tensor.stride(), strict=True)
        end = start + 1 + sum((size - 1) * stride for size, stride in strides)
        return tuple(name for a, b, name in self._spans[storage] if start < b and a < end)


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _flatten(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _flatten(value)


def _operands(operation: str, args: Sequence[Any]) -> Sequence[Tensor]:
    """The two tensors that an operation multiplies and sums; none for other operations."""
    if operation in ("mm", "bmm", *_CONVOLUTIONS):
        return args[:2]
    return args[1:3] if operation in ("addmm", "baddbmm") else ()


def _macs(operation: str, args: Sequence[Any], operands: Sequence[Tensor], result: Tensor) -> int:
    if operation in _CONVOLUTIONS:
        # An output element takes one per weight of its filter; groups shorten the filter. A
        # transposed convolution spreads each input element instead.
        spread = args[0] if _is_transposed(operation, args) else result
        return int(spread.numel() * prod(args[1].shape[1:]))
    return result.numel() * operands[0].shape[-1]


def _is_transposed(operation: str, args: Sequence[Any]) -> bool:
    return operation in _CONVOLUTIONS and operation != "cudnn_convolution" and bool(args[6])
