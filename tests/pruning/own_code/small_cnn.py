"""A small network as a script of a user's has one, and images for it."""

import torch
from torch import Tensor, nn

IMAGE = (3, 8, 8)


def cnn(classes: int = 4) -> nn.Module:
    """Two convolutions with batch-norm and dropout, in training mode but for its first layer."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(64, classes),
    )
    model[0].eval()
    return model


def seeded_cnn(seed: int = 0) -> nn.Module:
    """The network with weights of a seed."""
    torch.manual_seed(seed)
    return cnn()


def batches(count: int = 5, size: int = 16) -> list[tuple[Tensor, Tensor]]:
    """Random images with labels 0 ... 3."""
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(size, *IMAGE, generator=generator),
            torch.randint(4, (size,), generator=generator),
        )
        for _ in range(count)
    ]
