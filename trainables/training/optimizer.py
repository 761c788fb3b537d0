"""The optimiser of a training, as its recipe asks for it: SGD, Adam or AdamW of `torch.optim`."""

import torch
from torch import nn

from trainables.training.recipe import Recipe


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """A fresh optimiser for all parameters of the model."""
    match recipe.optimizer:
        case "sgd":
            return torch.optim.SGD(
                model.parameters(),
                lr=recipe.lr,
                momentum=recipe.momentum,
                nesterov=recipe.nesterov,
                weight_decay=recipe.weight_decay,
                fused=True,
            )
        case "adam":
            return torch.optim.Adam(
                model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
            )
        case "adamw":
            return torch.optim.AdamW(
                model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
            )
