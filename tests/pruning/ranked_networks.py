"""Networks whose feature maps differ in rank, and images for them, for tests of ranks."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from models.model_registry import build_model

IMAGE = (3, 16, 16)
# Written by hand from the networks' definitions: the activations of each group.
RESNET8 = {
    "conv": ["relu", "stages.0.0.relu2"],
    "stages.0.0.conv1": ["stages.0.0.relu1"],
    "stages.1.0.conv1": ["stages.1.0.relu1"],
    "stages.1.0.conv2": ["stages.1.0.relu2"],
    "stages.2.0.conv1": ["stages.2.0.relu1"],
    "stages.2.0.conv2": ["stages.2.0.relu2"],
}
SIMPLE = {"conv1": ["relu1"], "conv2": ["relu2"], "fc1": ["relu3"]}
VGG = {
    f"features.{conv}": [f"features.{conv + 2}"]
    for conv in (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)
}


def network(name: str, image: tuple[int, int, int] = IMAGE) -> nn.Module:
    """A network whose batch-norms shift channels apart, so that ranks differ and some maps are
    dead."""
    torch.manual_seed(5)
    model = build_model(name, image=image, classes=10)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, -0.5, 1.0)
            module.running_mean = 0.3 * torch.randn(len(module.bias))
    return model


def images(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    for start in range(0, count, 4):
        size = min(4, count - start)
        yield torch.randn(size, *IMAGE, generator=generator), torch.zeros(size, dtype=torch.int64)


def naive_ranks(
    model: nn.Module, activations: dict[str, list[str]], count: int
) -> dict[str, list[float]]:
    """Mean rank per channel by numpy, one map at a time, from what hooks on the named
    layers see."""
    seen: dict[str, list[Tensor]] = {}
    for names in activations.values():
        for name in names:
            model.get_submodule(name).register_forward_hook(
                lambda _, __, out, name=name: seen.setdefault(name, []).append(out.detach().clone())
            )
    model.eval()
    for x, _ in images(count):
        model(x)
    means = {}
    for group, names in activations.items():
        maps = torch.stack([torch.cat(seen[name]) for name in names])
        maps = maps if maps.dim() == 5 else maps[..., None, None]
        means[group] = [
            float(
                np.mean(
                    [[np.linalg.matrix_rank(image[c].numpy()) for image in one] for one in maps]
                )
            )
            for c in range(maps.shape[2])
        ]
    return means
