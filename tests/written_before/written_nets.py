"""The network of the study directories in `written_before/`: their keys hold its name, so neither
may change."""

from torch import nn


def small(image: tuple[int, int, int], classes: int) -> nn.Module:
    """Two convolutions with batch-norm, dropout and one linear layer, so small that its states fit
    in a repository."""
    return nn.Sequential(
        nn.Conv2d(image[0], 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 10, 3, padding=1, stride=2, bias=False),
        nn.BatchNorm2d(10),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(10 * 2 * 2, classes),
    )
