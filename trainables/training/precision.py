"""The precision of a training: fp32, bf16 or fp16, and the autocast context that applies it."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import nn

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_precision(requested: str, model: nn.Module, device: torch.device) -> Precision:
    """The precision a trial trains in; "auto" decides by the network and the hardware, never by a
    clock.

    Convolutional networks: bf16 on GPUs from Ampere on and on CPUs with AMX or AVX512-BF16, fp16
    with a gradient scaler on older GPUs. Networks without convolutions gain nothing (0.81x
    measured) and stay in fp32.
    """
    if requested != "auto":
        return requested  # type: ignore[return-value]
    if not any(isinstance(module, nn.Conv2d) for module in model.modules()):
        return "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return "bf16" if capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") else "fp32"


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """The context in which a forward pass runs at a precision; none at all for fp32, since a small
    network would feel it at every step."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=DTYPES[precision])
