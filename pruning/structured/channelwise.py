"""What keeps channels apart: the layers and functions that work on each channel alone."""

import torch
from torch import nn
from torch.nn import functional

# Only what maps zero to zero, channel by channel: then a channel of zeros and no channel are the
# same to what follows.
_ACTIVATIONS = [
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "celu",
    "gelu",
    "silu",
    "mish",
    "tanh",
    "hardtanh",
    "hardswish",
]
_ACTIVATION_LAYERS = [
    "ReLU",
    "ReLU6",
    "LeakyReLU",
    "ELU",
    "SELU",
    "CELU",
    "GELU",
    "SiLU",
    "Mish",
    "Tanh",
    "Hardtanh",
    "Hardswish",
]
_DROPOUTS = ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"]
_DROPOUT_LAYERS = ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout"]
_POOLS = [
    f"{kind}_pool{sides}d"
    for kind in ("max", "avg", "adaptive_max", "adaptive_avg")
    for sides in (1, 2, 3)
]
_POOL_LAYERS = [
    f"{kind}Pool{sides}d"
    for kind in ("Max", "Avg", "AdaptiveMax", "AdaptiveAvg")
    for sides in (1, 2, 3)
]

PASSING_MODULES = tuple(
    getattr(nn, name) for name in ["Identity", *_ACTIVATION_LAYERS, *_DROPOUT_LAYERS, *_POOL_LAYERS]
)
PASSING_FUNCTIONS: frozenset[object] = frozenset(
    getattr(functional, name) for name in [*_ACTIVATIONS, *_DROPOUTS, *_POOLS]
) | {torch.relu, torch.relu_, torch.tanh}
PASSING_METHODS = frozenset({"relu", "relu_", "tanh", "contiguous", "clone"})


def is_norm(module: nn.Module) -> bool:
    """Whether a layer is a batch-norm, of any number of dimensions."""
    return isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)


def is_depthwise(module: nn.Module) -> bool:
    """Whether each output channel of a convolution is made of the input channel of its number
    alone."""
    if not isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) or module.groups == 1:
        return False
    return module.groups == module.in_channels == module.out_channels


def is_channelwise(module: nn.Module) -> bool:
    """Whether a layer has weights for each channel and mixes none: a batch-norm or a depthwise
    convolution."""
    return is_norm(module) or is_depthwise(module)
