"""What a network costs: multiply-accumulates of its layers, parameters and bytes.

Counted are convolutions and linear layers, the same as `torch.utils.flop_counter` counts (which
reports two per multiply-accumulate). Bias, batch-norm, activations and pooling are not: they are
0.3 to 1.5 % of the networks here, and batch-norm folds into the convolution before it. Tools that
add them report more: for ResNet-18 on 3x32x32 images 556.65 M (with two per batch-norm output)
where this reports 555.42 M.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, prod

import torch
from torch import Tensor, nn

from pruning.eval_mode import eval_mode
from pruning.masks import Masks, prunable


@dataclass(frozen=True)
class LayerCost:
    """What one convolution or linear layer costs.

    name: its weight's state-dict name, as in masks.
    shape: of the weight.
    weights: number of weights, without bias.
    macs: multiply-accumulates for one image, dense; 0 if the forward pass does not use the layer.
    """

    name: str
    shape: tuple[int, ...]
    weights: int
    macs: int


@dataclass(frozen=True)
class Size:
    """How large a network is under its masks.

    params: all parameters, masked or not.
    nonzero: those that no mask removes.
    compression: params / nonzero.
    bytes: parameters and buffers, stored dense.
    """

    params: int
    nonzero: int
    compression: float
    bytes: int


def layer_costs(model: nn.Module, image: tuple[int, int, int]) -> list[LayerCost]:
    """Cost of every prunable layer, in module order, counted in one forward pass of a zero image.

    The pass runs in eval mode and without gradients, on the device and in the precision of the
    model's first parameter; training modes are put back afterwards. A layer that is used twice
    counts twice.

    Args:
        image: (channels, height, width).
    """
    weights = prunable(model)
    macs = dict.fromkeys(weights, 0)

    def count_in(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        # An output element takes one multiply-accumulate per weight of its filter or row; groups
        # shorten the filter.
        per_output = prod(weights[name].shape[1:])

        def count(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            macs[name] += output.numel() * per_output

        return module.register_forward_hook(count)

    hooks = [
        count_in(name, model.get_submodule(name.removesuffix("weight").removesuffix(".")))
        for name in weights
    ]
    like = next(model.parameters(), torch.empty(0))
    try:
        with eval_mode(model), torch.no_grad():
            model(torch.zeros(1, *image, device=like.device, dtype=like.dtype))
    finally:
        for hook in hooks:
            hook.remove()
    return [LayerCost(name, tuple(w.shape), w.numel(), macs[name]) for name, w in weights.items()]


def macs(costs: Sequence[LayerCost]) -> int:
    """Multiply-accumulates of one forward pass of one image, dense."""
    return sum(cost.macs for cost in costs)


def effective_macs(costs: Sequence[LayerCost], masks: Masks) -> float:
    """Multiply-accumulates of one image, those of each layer multiplied by its density; a layer
    without a mask is dense.

    Raises:
        ValueError: a mask fits no layer in `costs`, by name or by shape.
    """
    shapes = {cost.name: cost.shape for cost in costs}
    _check(masks, shapes)
    total = 0.0
    for cost in costs:
        kept = int(masks[cost.name].sum()) if cost.name in masks else cost.weights
        total += cost.macs * kept / cost.weights if cost.weights else 0.0
    return total


def size(model: nn.Module, masks: Masks) -> Size:
    """Parameters, kept parameters, compression and bytes of a network; a weight without a mask is
    kept.

    Compression is over all parameters, biases and batch-norm too; infinite if nothing is kept.
    Against a larger original, divide that one's `params` by this one's `nonzero`.

    Raises:
        ValueError: a mask fits no prunable weight of the model, by name or by shape.
    """
    _check(masks, {name: tuple(weight.shape) for name, weight in prunable(model).items()})
    params = sum(parameter.numel() for parameter in model.parameters())
    nonzero = params - sum(mask.numel() - int(mask.sum()) for mask in masks.values())
    stored = sum(
        tensor.numel() * tensor.element_size() for tensor in [*model.parameters(), *model.buffers()]
    )
    return Size(params, nonzero, params / nonzero if nonzero else inf, stored)


def _check(masks: Masks, shapes: dict[str, tuple[int, ...]]) -> None:
    for name, mask in masks.items():
        if name not in shapes:
            raise ValueError(f"a mask must belong to a prunable weight, but '{name}' is none")
        if tuple(mask.shape) != shapes[name]:
            raise ValueError(
                f"mask '{name}' must have shape {shapes[name]}, but has {tuple(mask.shape)}"
            )
