"""Eval mode for the length of a `with` block; afterwards every module has its own mode again."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode; afterwards every module is in the mode that it was in before."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def exact_eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients, autocast and TF32; afterwards everything is as before."""
    precision = torch.get_float32_matmul_precision()
    cudnn_tf32 = torch.backends.cudnn.allow_tf32
    device = next((parameter.device.type for parameter in model.parameters()), "cpu")
    with eval_mode(model):
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
        try:
            with torch.no_grad(), torch.autocast(device, enabled=False):
                yield
        finally:
            torch.set_float32_matmul_precision(precision)
            torch.backends.cudnn.allow_tf32 = cudnn_tf32
