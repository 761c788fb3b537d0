"""Whose names a state dict has: the registry's networks, and those of torchvision that people
have."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch
from torch import Size, Tensor

from models.model_registry import build_model, list_models
from pruning.user_error import UserError
from trainables.weights.name_prefixes import COUNTER

_LIBRARY = tuple(
    f"torchvision:{name}"
    for name in (
        *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2"),
        *("resnext50_32x4d", "vgg11", "vgg11_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"),
        *("alexnet", "densenet121", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"),
        *("efficientnet_b0", "convnext_tiny", "vit_b_16", "swin_t"),
    )
)
_ALIKE = 0.8  # part of the tensors whose shapes must be the same; others are stem and head


def find_like_network(tensors: Mapping[str, Tensor]) -> str | None:
    """The network that has these names, all of them, and the most of their shapes; None where none
    has."""
    names = {name for name in tensors if not name.endswith(COUNTER)}
    best, most = None, _ALIKE * len(names)
    for known in (*list_models(), *_LIBRARY):
        shapes = _shapes_of(known)
        if shapes.keys() != names:
            continue
        same = sum(tensors[name].shape == shape for name, shape in shapes.items())
        if same > most:
            best, most = known, same
    return best


@cache
def _shapes_of(model: str) -> dict[str, Size]:
    """Shapes of a network's tensors by name; none where its library is missing."""
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            state = build_model(model, image=(3, 32, 32), classes=10).state_dict()
    except (UserError, RuntimeError, NotImplementedError):
        return {}
    return {name: t.shape for name, t in state.items() if not name.endswith(COUNTER)}
