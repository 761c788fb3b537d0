"""A forward pass in which all that depends on the scale of its input is taken as linear: what
synaptic flow needs to be a flow.

Synaptic flow multiplies absolute weights along paths (Tanaka et al. 2020, arXiv 2006.05467). In
networks of convolutions, ReLU and batch-norm all values are then positive, ReLU is the identity,
and batch-norm in eval mode, with the statistics of an initial network, is its affine part; the
scores of each layer sum to the same R. What other networks have in their place is taken so that
this stays so:

* Normalisation over the input itself (layer, group, instance, RMS and local response
  normalisation, batch-norm without running statistics) is its affine part, weight x input + bias.
  It would subtract means, so that values turn negative, and divide by the scale, so that the
  scores of the layer before it would sum to 0.
* Activations that end flat (ReLU6, Hardtanh, tanh) and log_softmax are the identity: all values lie
  far in the flat part, where the gradient is 0.
* Attention's softmax is S / sum(S), and of the flow through it a third each is that of queries,
  keys and values. Softmax itself would put everything on one position.
* A gate (a sigmoid, or a softmax that something is multiplied by) has its own value but no flat
  part, and half of the flow through the product is that of the gate.

The last two are this project's own: there is no published SynFlow for such networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary


class LinearFlow(TorchFunctionMode):
    """Takes such operations as linear while it is active.

    replaced: names of those that it met.
    """

    def __init__(self) -> None:
        super().__init__()
        self.replaced: set[str] = set()
        self._gates = WeakTensorKeyDictionary()  # what sigmoid and softmax returned

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _PRODUCTS and len(args) == 2:
            return self._product(func, args)
        rule = _GATES.get(func) or _RULES.get(func)
        result = rule(*args, **kwargs) if rule else None
        if result is None:
            result = func(*args, **kwargs)
            if func is functional.dropout and args[0] in self._gates:
                self._gates[result] = True
            return result
        self.replaced.add(func.__name__.removesuffix("_"))
        if func in _GATES:
            self._gates[result] = True
        return result

    def _product(self, func: Any, args: tuple[Any, ...]) -> Any:
        """A product; where one operand is a gate or attention's weights, the flow is divided."""
        if not any(isinstance(part, Tensor) and part in self._gates for part in args):
            return func(*args)
        part = 1 / 2 if func in _ELEMENTWISE else 1 / 3
        return func(*(_with_part(x, part) if isinstance(x, Tensor) else x for x in args))


def _with_part(x: Tensor, part: float) -> Tensor:
    """The same value with a part of the gradient."""
    return part * x + ((1 - part) * x).detach()


def _gate(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """A function's value, and a gradient as if it were linear with that value: f(x) / x."""

    def secant(x: Tensor, *_: object, **__: object) -> Tensor:
        slope = function(x.detach()) / x.detach()
        return x * slope.where(x.detach() > 0, 0.0) + function(x.detach()).where(x <= 0, 0.0)

    return secant


def _softmax(x: Tensor, dim: int = -1, *_: object, **__: object) -> Tensor:
    positive = x.clamp(min=0)  # a mask of large negative numbers takes positions out
    total = positive.detach().sum(dim, keepdim=True)
    return positive / total.where(total > 0, 1.0)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **__: object,
) -> Tensor:
    """`scaled_dot_product_attention`."""
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        scores = scores.tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.where(attn_mask, 0.0)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return _with_part(_softmax(scores), 1 / 3) @ _with_part(value, 1 / 3)


def _multi_head(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    width: int,
    heads: int,
    in_weight: Tensor | None,
    in_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_weight: Tensor,
    out_bias: Tensor | None,
    *_: object,
    attn_mask: Tensor | None = None,
    **more: Any,
) -> tuple[Tensor, None] | None:
    """`multi_head_attention_forward` of inputs [positions, batch, width] in its common form."""
    if bias_k is not None or bias_v is not None or add_zero_attn or query.dim() != 3:
        return None
    if in_weight is None:
        weights: Sequence[Tensor] = [more[f"{part}_proj_weight"] for part in "qkv"]
    else:
        weights = in_weight.chunk(3)
    biases = [None] * 3 if in_bias is None else in_bias.chunk(3)
    q, k, v = (
        functional.linear(x, weight, bias).unflatten(-1, (heads, -1)).permute(1, 2, 0, 3)
        for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
    )
    out = _attention(q, k, v, attn_mask).permute(2, 0, 1, 3).flatten(2)
    return functional.linear(out, out_weight, out_bias), None


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """weight x input + bias, for vectors that fit the channels in dimension 1."""
    shape = (1, -1, *[1] * (x.dim() - 2))
    x = x if weight is None else x * weight.view(shape)
    return x if bias is None else x + bias.view(shape)


def _layer_norm(
    x: Tensor,
    shape: object,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *_: object,
    **__: object,
) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _rms_norm(
    x: Tensor, shape: object, weight: Tensor | None = None, *_: object, **__: object
) -> Tensor:
    return x if weight is None else x * weight


def _group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *_: object,
    **__: object,
) -> Tensor:
    return _affine(x, weight, bias)


def _instance_norm(
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    *_: object,
    **__: object,
) -> Tensor | None:
    return _affine(x, weight, bias) if use_input_stats else None


def _batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    *_: object,
    **__: object,
) -> Tensor | None:
    return _affine(x, weight, bias) if training else None


def _same(x: Tensor, *_: object, **__: object) -> Tensor:
    return x


# What a gate is made of, and what it multiplies: only where one operand is a gate.
_GATES: Mapping[Any, Callable[..., Tensor]] = {
    **dict.fromkeys((functional.softmax, torch.softmax, Tensor.softmax), _softmax),
    **dict.fromkeys(
        (functional.sigmoid, torch.sigmoid, Tensor.sigmoid, Tensor.sigmoid_, torch.sigmoid_),
        _gate(torch.sigmoid),
    ),
    functional.hardsigmoid: _gate(functional.hardsigmoid),
}
_ELEMENTWISE = frozenset({torch.mul, Tensor.mul, Tensor.mul_, Tensor.__mul__, Tensor.__rmul__})
_PRODUCTS = _ELEMENTWISE | {torch.matmul, torch.bmm, Tensor.matmul, Tensor.__matmul__, Tensor.bmm}
_RULES: Mapping[Any, Callable[..., Any]] = {
    functional.scaled_dot_product_attention: _attention,
    functional.multi_head_attention_forward: _multi_head,
    **dict.fromkeys((functional.layer_norm, torch.layer_norm), _layer_norm),
    **dict.fromkeys((functional.rms_norm, torch.rms_norm), _rms_norm),
    **dict.fromkeys((functional.group_norm, torch.group_norm), _group_norm),
    **dict.fromkeys((functional.instance_norm, torch.instance_norm), _instance_norm),
    **dict.fromkeys((functional.batch_norm, torch.batch_norm), _batch_norm),
    **dict.fromkeys((functional.local_response_norm, functional.hardtanh), _same),
    **dict.fromkeys((functional.hardtanh_, functional.relu6, functional.tanh), _same),
    **dict.fromkeys((torch.tanh, torch.tanh_, Tensor.tanh, Tensor.tanh_), _same),
    **dict.fromkeys((functional.log_softmax, torch.log_softmax, Tensor.log_softmax), _same),
}
