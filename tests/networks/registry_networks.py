"""The registry's networks as parameters of tests: those that are others with more blocks are
slow."""

import pytest

from models.model_registry import list_models

DEEPER = {f"resnet{depth}{option}" for depth in (32, 44, 56, 110) for option in ("", "a")}
EVERY_NETWORK = [
    pytest.param(name, marks=pytest.mark.slow) if name in DEEPER else name for name in list_models()
]
