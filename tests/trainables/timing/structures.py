"""Network structures for the tests of this folder."""

from dataclasses import replace
from math import prod
from typing import Any

import torch

from models.model_registry import build_model
from pruning.masks import prunable
from trainables.timing.network_structure import NetworkStructure

CPU = torch.device("cpu")
IMAGE = (3, 8, 8)


def structure_of(name: str, density: float = 1.0, **change: Any) -> NetworkStructure:
    model = build_model(name, image=IMAGE, classes=10)
    shapes = tuple((layer, tuple(weight.shape)) for layer, weight in prunable(model).items())
    kept = tuple(round(density * prod(shape)) for _, shape in shapes)
    return replace(NetworkStructure(name, IMAGE, 10, shapes, kept, None, "fp32"), **change)
