"""Forward passes in double precision, of networks that cast to other types in them too."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

_NARROWER = (torch.float32, torch.bfloat16, torch.float16)


class DoublePrecision(TorchDispatchMode):
    """While this lasts, what would be float32 or narrower by a cast, or newly made, is float64, and
    so is what an operation reads.

    For a network whose parameters and input are float64. A norm or a softmax that computes in
    float32 whatever it is given, and a constant that is no buffer, would else fail beside float64
    weights, or round to seven digits.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") in _NARROWER:
            kwargs["dtype"] = torch.float64
        if not func._schema.is_mutable:  # what is written to stays what it is
            args, kwargs = tree_map_only(Tensor, _widen, (args, kwargs))
        output = func(*args, **kwargs)
        is_new = not any(isinstance(arg, Tensor) for arg in args)  # as torch.zeros makes one
        return _widen(output) if is_new and isinstance(output, Tensor) else output


def _widen(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.dtype in _NARROWER else tensor
