"""Forward passes in double precision, of networks that cast to other types in them too."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_NARROWER = (torch.float32, torch.bfloat16, torch.float16)


class DoublePrecision(TorchDispatchMode):
    """While this lasts, what would be float32 or narrower by a cast, or newly made, is float64.

    For a network whose parameters and input are float64. A norm or a softmax that computes in
    float32 whatever it is given would else fail on float64 weights, or round to seven digits.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") in _NARROWER:
            kwargs["dtype"] = torch.float64
        output = func(*args, **kwargs)
        if isinstance(output, Tensor) and output.dtype in _NARROWER and _is_new(func, args):
            return output.double()
        return output


def _is_new(func: Any, args: tuple[Any, ...]) -> bool:
    """Whether an operation makes a tensor out of none, as `torch.tensor` and `torch.zeros` do."""
    if func is torch.ops.aten.lift_fresh.default:
        return True
    return not any(isinstance(arg, Tensor) for arg in args)
