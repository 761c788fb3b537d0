"""What a network costs: multiply-accumulates of its layers, parameters and bytes.

Counted are convolutions and matrix products, the same as `torch.utils.flop_counter` counts (which
reports two per multiply-accumulate), by the weight that each is made with, whatever calls it.
Products of two activations, as attention's, have no weight and are named apart. Bias, batch-norm,
activations and pooling are not counted: they are 0.3 to 1.5 % of the networks here, and batch-norm
folds into the convolution before it. Tools that add them report more: for ResNet-18 on 3x32x32
images 556.65 M (with two per batch-norm output) where this reports 555.42 M.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from torch import nn

from pruning.masks import Masks, prunable
from pruning.weight_uses import trace_weights

PRODUCTS = "products of activations"  # attention's, of queries and keys and of what they weigh
OTHER_PARAMETERS = "other parameters"  # those that are no prunable layer's


@dataclass(frozen=True)
class LayerCost:
    """What one prunable layer costs, or what is no layer's.

    name: its weight's state-dict name, as in masks; `PRODUCTS` or `OTHER_PARAMETERS` for the rest.
    shape: of the weight; () for the rest.
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
    """Cost of every prunable layer, in module order, counted in one forward pass of one image;
    then, where there are any, of the products of activations and of other parameters.

    The pass runs in eval mode and without gradients, on the device and in the precision of the
    model's first parameter; training modes are put back afterwards. A layer that is used twice
    counts twice.

    Args:
        image: (channels, height, width).
    """
    weights = prunable(model)
    uses = trace_weights(model, weights, image)
    costs = [
        LayerCost(
            name,
            tuple(weight.shape),
            weight.numel(),
            uses.weights[name].macs if name in uses.weights else 0,
        )
        for name, weight in weights.items()
    ]
    others = {PRODUCTS: uses.products, OTHER_PARAMETERS: uses.other_weights}
    return costs + [LayerCost(name, (), 0, macs) for name, macs in others.items() if macs]


def macs(costs: Sequence[LayerCost]) -> int:
    """Multiply-accumulates of one forward pass of one image, dense."""
    return sum(cost.macs for cost in costs)


def product_macs(costs: Sequence[LayerCost]) -> int:
    """Those of the multiply-accumulates that multiply two activations, as attention does."""
    return sum(cost.macs for cost in costs if cost.name == PRODUCTS)


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
        if cost.name in masks and cost.weights:
            total += cost.macs * int(masks[cost.name].sum()) / cost.weights
        else:
            total += cost.macs
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
