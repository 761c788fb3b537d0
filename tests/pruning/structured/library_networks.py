"""The networks of the table in docs/own-models.md, each with the side of its images."""

import importlib.util
from pathlib import Path

from torch import nn

_spec = importlib.util.spec_from_file_location(
    "networks_benchmark", Path(__file__).parents[3] / "benchmarks/networks.py"
)
assert _spec and _spec.loader
benchmark = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(benchmark)
SIZES: dict[str, int] = benchmark.NETWORKS


def small_swin(image: tuple[int, int, int], classes: int) -> nn.Module:
    """torchvision's Swin transformer with two narrow stages, in the second of which windows are
    shifted."""
    from torchvision.models import SwinTransformer

    return SwinTransformer(
        patch_size=[4, 4],
        embed_dim=24,
        depths=[1, 2],
        num_heads=[2, 4],
        window_size=[4, 4],
        num_classes=classes,
    )
