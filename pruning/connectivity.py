"""Whether a pruned network is still connected: can its logits depend on its input, and which layers
are empty?"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from pruning.double_precision import DoublePrecision
from pruning.masks import Masks, prunable
from pruning.weight_uses import plain_kernels

TINY = 1e-3  # a divisor is kept from 0 by at most this
TRIES = 3  # pairs of images; one decides, unless it happens to fall on equal logits


def emptied_layers(masks: Masks) -> list[str]:
    """Names of the layers of which no weight is kept."""
    return [name for name, mask in masks.items() if not bool(mask.any())]


def is_connected(model: nn.Module, masks: Masks, image: tuple[int, int, int]) -> bool:
    """Whether some path of kept weights leads from the input to an output.

    Decided by trying, in float64 on the CPU, on a copy in which every kept weight is random and no
    activation is flat anywhere: the logits of two random images are then equal, or both NaN, where
    no path leads from the input to them, and only there. So normalisation, gates and attention need
    no rules of their own. An emptied shortcut does no harm beside a path that is connected; what an
    emptied layer leaves behind it, be it 0 or, after a sigmoid, 0.5, is no path.

    Args:
        image: (channels, height, width) of one input.
    """
    generator = torch.Generator().manual_seed(0)
    probe = copy.deepcopy(model).to("cpu", torch.float64).eval()
    _draw_weights(probe, masks, generator)
    # One image at a time: a place in a batch could change the last bit.
    with torch.no_grad(), plain_kernels(), DoublePrecision():
        for _ in range(TRIES):
            pair = torch.randn(2, 1, *image, dtype=torch.float64, generator=generator)
            with _NeverFlat():
                one, other = (_first_tensor(probe(x)) for x in pair)
            if one.isnan().any() or other.isnan().any():  # as the root of what was never negative
                one, other = (_first_tensor(probe(x)) for x in pair)
            if ((one != other) & ~(one.isnan() & other.isnan())).any():
                return True
    return False


@torch.no_grad()
def _draw_weights(probe: nn.Module, masks: Masks, generator: torch.Generator) -> None:
    """Random weights of a size that keeps signals about 1, zeros where the masks remove; no biases,
    in whose size a weak signal could drown."""
    weights = prunable(probe)
    kept = {id(weights[name]): mask.cpu() for name, mask in masks.items()}
    for name, parameter in probe.named_parameters():
        if not parameter.is_floating_point():
            continue
        if name.endswith("bias"):
            parameter.zero_()
        elif parameter.dim() < 2:  # scales, above all of normalisation
            parameter.uniform_(0.5, 1.5, generator=generator)
        else:
            signs = torch.randint(0, 2, parameter.shape, generator=generator) * 2 - 1
            parameter.uniform_(0.5, 1.5, generator=generator).mul_(signs)
            mask = kept.get(id(parameter), torch.ones(()))
            mask = mask.to(parameter.dtype).expand_as(parameter)
            inputs = mask.flatten(1).sum(1).clamp_min(1)
            parameter.mul_(mask).div_(inputs.sqrt().view(-1, *[1] * (parameter.dim() - 1)))
    for name, buffer in probe.named_buffers():
        if name.endswith("running_mean"):
            buffer.zero_()
        elif name.endswith("running_var"):
            buffer.fill_(1)


def _first_tensor(output: object) -> Tensor:
    """The logits of a network that may return more beside them."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, dict):
        output = list(output.values())
    assert isinstance(output, tuple | list)
    return _first_tensor(output[0])


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.5)


_STEEP: Mapping[str, Callable[[Tensor], Tensor]] = {
    **dict.fromkeys(("relu", "hardtanh", "relu6", "hardswish", "threshold", "elu", "celu"), _leaky),
    **dict.fromkeys(("selu", "silu", "gelu", "mish", "hardshrink", "softshrink", "rrelu"), _leaky),
    **dict.fromkeys(("clamp", "clamp_min", "clamp_max", "rrelu_with_noise"), _leaky),
    "hardsigmoid": torch.sigmoid,
}
"""Activations that are flat somewhere, by the name of torch's operation, and one of their kind that
is flat nowhere."""


class _NeverFlat(TorchDispatchMode):
    """Computes activations by ones of the same kind that are constant nowhere."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        steep = _STEEP.get(name.removesuffix("_"))
        if steep is None or not args[0].is_floating_point() or _guards_division(name, args, kwargs):
            return func(*args, **(kwargs or {}))
        return args[0].copy_(steep(args[0])) if name.endswith("_") else steep(args[0])


def _guards_division(name: str, args: Sequence[Any], kwargs: Any) -> bool:
    """Whether an operation only keeps its values from a tiny distance of 0 on, as before they
    divide; without that an emptied layer would become 0 / 0 behind it."""
    if not name.startswith("clamp"):
        return False
    given = dict(zip(("min", "max"), args[1:], strict=False)) | dict(kwargs or {})
    least = given.get("min")
    return given.get("max") is None and isinstance(least, float) and 0 < least <= TINY
