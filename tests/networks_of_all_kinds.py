"""Small networks unlike the project's own, each a function (image, classes) as a user writes it:
what a pruning study must either get right or refuse in one line."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

Image = tuple[int, int, int]


class GroupNormCat(nn.Module):
    """Two branches side by side, joined by `cat`, with GroupNorm in place of batch-norm."""

    def __init__(self, image: Image, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(image[0], 8, 3, padding=1)
        self.left = nn.Conv2d(8, 8, 1)
        self.right = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.norm = nn.GroupNorm(4, 16)
        self.fc = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(x))
        x = functional.silu(self.norm(torch.cat([self.left(x), self.right(x)], 1)))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


class Attention(nn.Module):
    """Rows of pixels as tokens, `nn.MultiheadAttention`, LayerNorm, and an MLP whose two layers
    share one tensor."""

    def __init__(self, image: Image, classes: int) -> None:
        super().__init__()
        self.embed = nn.Linear(image[0] * image[2], 16)
        self.norm = nn.LayerNorm(16)
        self.attend = nn.MultiheadAttention(16, 2, batch_first=True)
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 16)
        self.second.weight = self.first.weight
        self.fc = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.movedim(1, 2).flatten(2))
        y = self.norm(x)
        x = x + self.attend(y, y, y, need_weights=False)[0]
        x = x + self.second(functional.gelu(self.first(x)))
        logits: Tensor = self.fc(x.mean(1))
        return logits


class DepthwiseSE(nn.Module):
    """A depthwise-separable block with squeeze-and-excitation and hardswish."""

    def __init__(self, image: Image, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(image[0], 12, 3, padding=1), nn.BatchNorm2d(12))
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12, bias=False)
        self.squeeze, self.excite = nn.Conv2d(12, 4, 1), nn.Conv2d(4, 12, 1)
        self.point = nn.Conv2d(12, 16, 1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(functional.hardswish(self.stem(x)))
        gate = self.excite(functional.relu(self.squeeze(x.mean((2, 3), keepdim=True))))
        x = self.norm(self.point(x * torch.sigmoid(gate)))
        logits: Tensor = self.fc(functional.hardswish(x).mean((2, 3)))
        return logits


class Recurrent(nn.Module):
    """Rows of pixels through an LSTM and a GRU cell, then a transposed convolution."""

    def __init__(self, image: Image, classes: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(image[0] * image[2], 10, batch_first=True, bidirectional=True)
        self.cell = nn.GRUCell(20, 12)
        self.up = nn.ConvTranspose1d(12, 6, 2, stride=2)
        self.fc = nn.Linear(6, classes)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.lstm(x.movedim(1, 2).flatten(2))[0]
        state = steps.new_zeros(len(x), 12)
        states = []
        for step in steps.unbind(1):
            state = self.cell(step, state)
            states.append(state)
        logits: Tensor = self.fc(functional.relu(self.up(torch.stack(states, 2))).mean(2))
        return logits


class Standardised(nn.Conv2d):
    """A convolution that standardises its weight in every forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return functional.conv2d(x, weight / weight.std(), self.bias, padding=1)


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


def plain(image: Image, classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(image[0], 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, classes),
    )


def group_norm_cat(image: Image, classes: int) -> nn.Module:
    return GroupNormCat(image, classes)


def attention(image: Image, classes: int) -> nn.Module:
    return Attention(image, classes)


def depthwise_se(image: Image, classes: int) -> nn.Module:
    return DepthwiseSE(image, classes)


def recurrent(image: Image, classes: int) -> nn.Module:
    return Recurrent(image, classes)


def unused(image: Image, classes: int) -> nn.Module:
    return Unused(image, classes)


def weight_norm(image: Image, classes: int) -> nn.Module:
    network = plain(image, classes)
    parametrizations.weight_norm(network[2])
    return network


def weight_norm_by_hook(image: Image, classes: int) -> nn.Module:
    network = plain(image, classes)
    with warnings.catch_warnings(action="ignore"):
        nn.utils.weight_norm(network[2])
    return network


def spectral_norm(image: Image, classes: int) -> nn.Module:
    network = plain(image, classes)
    parametrizations.spectral_norm(network[2])
    return network


def spectral_norm_by_hook(image: Image, classes: int) -> nn.Module:
    network = plain(image, classes)
    with warnings.catch_warnings(action="ignore"):
        nn.utils.spectral_norm(network[2])
    return network


def pruned_by_torch(image: Image, classes: int) -> nn.Module:
    from torch.nn.utils import prune

    network = plain(image, classes)
    prune.l1_unstructured(network[2], "weight", 0.3)
    return network


def standardised(image: Image, classes: int) -> nn.Module:
    network = plain(image, classes)
    network[2] = Standardised(8, 8, 3)
    return network


def tied(image: Image, classes: int) -> nn.Module:
    network = plain(image, classes)
    network.insert(3, nn.Conv2d(8, 8, 3, padding=1))
    network[3].weight = network[2].weight
    return network
