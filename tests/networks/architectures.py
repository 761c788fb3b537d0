"""Small networks of many kinds, each a function (image, classes) as a user writes it: how their
layers are joined."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

Image = tuple[int, int, int]


class _Cat(nn.Module):
    """Two branches whose channels are concatenated."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.left = nn.Conv2d(channels, 8, 3, padding=1)
        self.right = nn.Conv2d(channels, 8, 3, padding=1)
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.left(x).relu(), self.right(x).relu()], 1)
        return self.head(both.mean((2, 3)))  # type: ignore[no-any-return]


def cat(image: Image, classes: int) -> nn.Module:
    """Concatenated branches."""
    return _Cat(image[0], classes)


def groups(image: Image, classes: int) -> nn.Module:
    """A convolution in groups."""
    return nn.Sequential(
        nn.Conv2d(image[0], 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, groups=4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, classes),
    )


class _Excited(nn.Module):
    """A convolution whose channels are weighed by a squeeze-and-excitation block."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 16, 3, padding=1)
        self.squeeze, self.excite = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).relu()
        gate = torch.sigmoid(self.excite(self.squeeze(x.mean((2, 3), keepdim=True)).relu()))
        return self.head((x * gate).mean((2, 3)))  # type: ignore[no-any-return]


def excited(image: Image, classes: int) -> nn.Module:
    """Squeeze and excitation."""
    return _Excited(image[0], classes)


def layer_norm(image: Image, classes: int) -> nn.Module:
    """A multilayer perceptron with LayerNorm and GELU."""
    pixels = image[0] * image[1] * image[2]
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, 32),
        nn.LayerNorm(32),
        nn.GELU(),
        nn.Linear(32, 32),
        nn.LayerNorm(32),
        nn.GELU(),
        nn.Linear(32, classes),
    )


def conv1d(image: Image, classes: int) -> nn.Module:
    """Convolutions over the pixels in a row."""
    return nn.Sequential(
        nn.Flatten(2),
        nn.Conv1d(image[0], 8, 5, padding=2),
        nn.ReLU(),
        nn.Conv1d(8, 8, 5, padding=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(8, classes),
    )


def odd_widths(image: Image, classes: int) -> nn.Module:
    """No layer whose input channels 4 divides."""
    return nn.Sequential(
        nn.Conv2d(image[0], 3, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(3, 5, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, classes),
    )


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


def group_norm_cat(image: Image, classes: int) -> nn.Module:
    """Concatenated branches with GroupNorm."""
    return GroupNormCat(image, classes)


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


def attention(image: Image, classes: int) -> nn.Module:
    """Multi-head attention, and an MLP with tied layers."""
    return Attention(image, classes)


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


def depthwise_se(image: Image, classes: int) -> nn.Module:
    """Depthwise convolution with squeeze and excitation."""
    return DepthwiseSE(image, classes)


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


def recurrent(image: Image, classes: int) -> nn.Module:
    """LSTM, GRU and a transposed convolution."""
    return Recurrent(image, classes)
