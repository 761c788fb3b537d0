"""The GPU's kernels for 2:4 sparsity, where a layer can use them."""

import torch
from torch import nn

from trainables.timing.network_structure import NetworkStructure
from trainables.training.precision import autocast

NO_LINEAR_LAYER = "PyTorch has no sparse ones for convolutions, and no linear layer has the pattern"


def use_sparse_kernels(
    model: nn.Module, structure: NetworkStructure, device: torch.device
) -> tuple[str, str]:
    """Give linear layers with a 2:4 pattern the GPU's semi-structured kernels, in place, where it
    has them.

    PyTorch has none for convolutions, nor for other patterns, nor for the CPU.

    Returns:
        The form that is timed ("2:4" where a layer uses such a kernel, else "masked") and a note
        that says why.
    """
    if structure.pattern != (2, 4):
        return "masked", "dense kernels: PyTorch has sparse ones for 2:4 only"
    used, reason = [], NO_LINEAR_LAYER
    for name, layer in _linear_layers(model).items():
        if name not in structure.patterned_layers:
            continue
        if error := _use_sparse_kernel(layer, structure, device):
            reason = f"{name}: {error}"
        else:
            used.append(name)
    if used:
        return "2:4", f"2:4 kernels for {', '.join(used)}; dense ones for the rest"
    return "masked", f"dense kernels: {reason}"


def _linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """Linear layers by the names of their weights."""
    return {
        f"{name}.weight" if name else "weight": module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }


def _use_sparse_kernel(layer: nn.Linear, structure: NetworkStructure, device: torch.device) -> str:
    """Give one layer the sparse kernel and call it once; else leave it as it is and return why."""
    dense = layer.weight
    try:
        sparse = torch.sparse.to_sparse_semi_structured(dense.detach())
        layer.weight = nn.Parameter(sparse, requires_grad=False)
        with torch.inference_mode(), autocast(structure.precision, device):
            layer(torch.zeros(1, layer.in_features, device=device, dtype=dense.dtype))
    except (RuntimeError, NotImplementedError) as error:  # the device, type or shape does not fit
        layer.weight = dense
        return " ".join(str(error).split())[:200]
    return ""
