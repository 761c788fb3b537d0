"""Small networks, each a function (image, classes): what a layer's weight is in them, and whether
it is trained and used."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

Image = tuple[int, int, int]


def plain(image: Image, classes: int) -> nn.Sequential:
    """Convolutions and a linear layer."""
    return nn.Sequential(
        nn.Conv2d(image[0], 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, classes),
    )


def tied(image: Image, classes: int) -> nn.Module:
    """Two layers that share one weight."""
    network = plain(image, classes)
    network.insert(3, nn.Conv2d(8, 8, 3, padding=1))
    network[3].weight = network[2].weight
    return network


def weight_norm(image: Image, classes: int) -> nn.Module:
    """A layer whose weight is computed from a length and a direction."""
    network = plain(image, classes)
    parametrizations.weight_norm(network[2])
    return network


def weight_norm_by_hook(image: Image, classes: int) -> nn.Module:
    """The same, as older versions of torch do it."""
    network = plain(image, classes)
    with warnings.catch_warnings(action="ignore"):
        nn.utils.weight_norm(network[2])
    return network


def spectral_norm(image: Image, classes: int) -> nn.Module:
    """A layer whose weight is divided by its largest singular value."""
    network = plain(image, classes)
    parametrizations.spectral_norm(network[2])
    return network


def spectral_norm_by_hook(image: Image, classes: int) -> nn.Module:
    """The same, as older versions of torch do it."""
    network = plain(image, classes)
    with warnings.catch_warnings(action="ignore"):
        nn.utils.spectral_norm(network[2])
    return network


def pruned_by_torch(image: Image, classes: int) -> nn.Module:
    """A layer with a mask of torch's own."""
    from torch.nn.utils import prune

    network = plain(image, classes)
    prune.l1_unstructured(network[2], "weight", 0.3)
    return network


class Standardised(nn.Conv2d):
    """A convolution that standardises its weight in every forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return functional.conv2d(x, weight / weight.std(), self.bias, padding=1)


def standardised(image: Image, classes: int) -> nn.Module:
    """A layer that standardises its weight as it runs."""
    network = plain(image, classes)
    network[2] = Standardised(8, 8, 3)
    return network


def frozen(image: Image, classes: int) -> nn.Module:
    """A first layer that is not trained."""
    network = plain(image, classes)
    network[0].requires_grad_(False)
    return network


def all_frozen(image: Image, classes: int) -> nn.Module:
    """No parameter requires a gradient."""
    return plain(image, classes).requires_grad_(False)


class Unused(nn.Module):
    """A frozen stem, a layer that is never called, and a head under `no_grad` for its features."""

    def __init__(self, image: Image, classes: int) -> None:
        super().__init__()
        self.frozen = nn.Conv2d(image[0], 8, 3, padding=1).requires_grad_(False)
        self.inside_no_grad = nn.Conv2d(8, 8, 1)
        self.body = nn.Conv2d(8, 12, 3)
        self.idle = nn.Linear(50, 40)
        self.fc = nn.Linear(12, classes)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = functional.relu(self.inside_no_grad(self.frozen(x)))
        logits: Tensor = self.fc(functional.relu(self.body(x)).mean((2, 3)))
        return logits


def unused(image: Image, classes: int) -> nn.Module:
    """Frozen layers and layers that are never called."""
    return Unused(image, classes)


def lazy(image: Image, classes: int) -> nn.Module:
    """Layers that learn their sizes from the first images."""
    return nn.Sequential(
        nn.LazyConv2d(8, 3, padding=1),
        nn.LazyBatchNorm2d(),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(classes),
    )
