"""The optimiser of a training, as its recipe asks for it: SGD, Adam or AdamW of `torch.optim`."""

from typing import Any

import numpy as np
import torch
from torch import nn

from trainables.training.recipe import Recipe

NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)


def make_optimizer(
    model: nn.Module, recipe: Recipe, *, scaled: bool = False
) -> torch.optim.Optimizer:
    """A fresh optimiser for all parameters of the model.

    Args:
        scaled: whether a gradient scaler may skip its steps.
    """
    match recipe.optimizer:
        case "sgd":
            optimizer: torch.optim.Optimizer = torch.optim.SGD(
                _parameter_groups(model, recipe),
                lr=recipe.lr,
                momentum=recipe.momentum,
                nesterov=recipe.nesterov,
                weight_decay=recipe.weight_decay,
                fused=True,
            )
        case "adam":
            optimizer = torch.optim.Adam(
                _parameter_groups(model, recipe),
                lr=recipe.lr,
                weight_decay=recipe.weight_decay,
                fused=True,
            )
        case "adamw":
            optimizer = torch.optim.AdamW(
                _parameter_groups(model, recipe),
                lr=recipe.lr,
                weight_decay=recipe.weight_decay,
                fused=True,
            )
    if scaled:
        set_missing_momentum(optimizer)
    return optimizer


def set_missing_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Let the momentum of SGD begin with zero where it has not begun.

    By itself torch begins with memory that it has not written to, and leaves it so where the
    gradient scaler skips the first step; the second would then read it. Adam's moments are zero
    from the start.
    """
    if isinstance(optimizer, torch.optim.SGD):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if optimizer.state[parameter].get("momentum_buffer") is None:
                    optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def set_recipe(optimizer: torch.optim.Optimizer, recipe: Recipe) -> None:
    """Give an optimiser the fields of a recipe that may change within a training."""
    for group in optimizer.param_groups:
        group["weight_decay"] = recipe.weight_decay if group.get("decays", True) else 0.0
        if "momentum" in group:
            group["momentum"] = recipe.momentum


def set_rate(optimizer: torch.optim.Optimizer, rate: float, momentum: float | None) -> None:
    """Set the learning rate of the next step, and where it is not None the momentum of SGD or the
    first beta of Adam.

    The rate is rounded to fp32, in which a CUDA graph reads it, so that all steps are by one rate.
    """
    rounded = float(np.float32(rate))
    for group in optimizer.param_groups:
        group["lr"] = rounded
        if momentum is not None and "momentum" in group:
            group["momentum"] = momentum
        elif momentum is not None:
            group["betas"] = (momentum, group["betas"][1])


def _parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """All parameters; apart from the others those without weight decay, if the recipe says so."""
    if recipe.decay_norm_and_bias:
        return [{"params": list(model.parameters())}]
    plain = {
        parameter
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if isinstance(module, NORMS) or parameter.ndim < 2 or "bias" in name
    }
    decayed = [parameter for parameter in model.parameters() if parameter not in plain]
    others = [parameter for parameter in model.parameters() if parameter in plain]
    return [
        {"params": decayed, "decays": True},
        {"params": others, "decays": False, "weight_decay": 0.0},
    ]
