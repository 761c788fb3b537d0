"""Whether a pruned network is still connected: does a path of kept weights lead from the input to
an output, and which layers are empty?"""

import copy

import torch
from torch import Tensor, nn

from pruning.masks import Masks, prunable


def emptied_layers(masks: Masks) -> list[str]:
    """Names of the layers of which no weight is kept."""
    return [name for name, mask in masks.items() if not bool(mask.any())]


@torch.no_grad()
def is_connected(model: nn.Module, masks: Masks, image: tuple[int, int, int]) -> bool:
    """Whether some path of kept weights leads from the input to an output.

    A signal of ones runs through a copy in which every kept weight is 1 and biases are absent. It
    is set back to 0 or 1 after each layer, so that no depth can overflow it. An emptied shortcut
    does no harm beside a path that is connected.

    Args:
        image: (channels, height, width) of one input.
    """
    probe = copy.deepcopy(model).cpu().float().eval()
    weights = prunable(probe)
    for name, parameter in probe.named_parameters():
        parameter.fill_(0 if name.endswith("bias") else 1)
        if name in weights and name in masks:
            parameter.copy_(masks[name])
    for module in probe.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            module.running_mean.zero_()
            module.running_var.fill_(1)  # type: ignore[union-attr]
        if isinstance(module, nn.Conv2d | nn.Linear | nn.modules.batchnorm._BatchNorm):
            module.register_forward_hook(_zero_or_one)
    return bool((probe(torch.ones(1, *image)) > 0).any())


def _zero_or_one(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return (output > 0).float()
