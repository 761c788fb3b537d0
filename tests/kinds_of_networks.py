"""Small networks of many kinds, as users bring them: functions (image, classes) that return one."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm as with_weight_norm

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


class _Attentive(nn.Module):
    """Self-attention over the rows of an image."""

    def __init__(self, image: Image, classes: int) -> None:
        super().__init__()
        self.embed = nn.Linear(image[0] * image[2], 16)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.embed(x.transpose(1, 2).flatten(2))
        mixed, _ = self.attention(rows, rows, rows, need_weights=False)
        return self.head((rows + mixed).mean(1))  # type: ignore[no-any-return]


def attention(image: Image, classes: int) -> nn.Module:
    """Multi-head attention."""
    return _Attentive(image, classes)


def tied(image: Image, classes: int) -> nn.Module:
    """Two layers that share one weight."""
    first, second = nn.Linear(32, 32), nn.Linear(32, 32)
    second.weight = first.weight
    pixels = image[0] * image[1] * image[2]
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, 32),
        nn.ReLU(),
        first,
        nn.ReLU(),
        second,
        nn.ReLU(),
        nn.Linear(32, classes),
    )


def weight_norm(image: Image, classes: int) -> nn.Module:
    """A layer whose weight is computed from a length and a direction."""
    pixels = image[0] * image[1] * image[2]
    return nn.Sequential(
        nn.Flatten(),
        with_weight_norm(nn.Linear(pixels, 32)),
        nn.ReLU(),
        nn.Linear(32, classes),
    )


class _Auxiliary(nn.Module):
    """Returns further outputs beside its logits while it trains."""

    def __init__(self, channels: int, classes: int, kind: type) -> None:
        super().__init__()
        self.kind = kind
        self.body = nn.Conv2d(channels, 16, 3, padding=1)
        self.main, self.side = nn.Linear(16, classes), nn.Linear(16, classes)

    def forward(self, x: Tensor) -> object:
        features = self.body(x).relu().mean((2, 3))
        logits = self.main(features)
        if not self.training:
            return logits
        side = self.side(features)
        return {"out": logits, "aux": side} if self.kind is dict else (logits, side)


def auxiliary(image: Image, classes: int) -> nn.Module:
    """Auxiliary logits in a tuple."""
    return _Auxiliary(image[0], classes, tuple)


def auxiliary_dict(image: Image, classes: int) -> nn.Module:
    """Auxiliary logits in a dict."""
    return _Auxiliary(image[0], classes, dict)


class _Features(_Auxiliary):
    """Returns its features before its logits while it trains."""

    def forward(self, x: Tensor) -> object:
        features = self.body(x).relu().mean((2, 3))
        return (features, self.main(features)) if self.training else self.main(features)


def features_first(image: Image, classes: int) -> nn.Module:
    """Something else than logits comes first."""
    return _Features(image[0], classes, tuple)


def frozen(image: Image, classes: int) -> nn.Module:
    """A first layer that is not trained."""
    network = nn.Sequential(
        nn.Conv2d(image[0], 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, classes),
    )
    network[0].requires_grad_(False)
    return network


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


def lazy(image: Image, classes: int) -> nn.Module:
    """Layers that learn their sizes from the first images."""
    return nn.Sequential(
        nn.LazyConv2d(8, 3, padding=1),
        nn.LazyBatchNorm2d(),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(classes),
    )


class _Optional(nn.Module):
    """A forward pass with arguments that may be left out."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(channels, 8, 3), nn.Conv2d(8, 8, 3)
        self.relu, self.head = nn.ReLU(), nn.Linear(8, classes)

    def forward(self, x: Tensor, mask: Tensor | None = None, double: bool = False) -> Tensor:
        x = self.relu(self.first(x))
        if mask is not None:
            x = x * mask
        x = self.relu(self.second(x))
        if double:
            x = x + x
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


def optional(image: Image, classes: int) -> nn.Module:
    """Optional forward arguments."""
    return _Optional(image[0], classes)


def bottleneck(image: Image, classes: int) -> nn.Module:
    """A layer that no activation follows, as in MobileNetV2's linear bottlenecks."""
    return nn.Sequential(
        nn.Conv2d(image[0], 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU6(),
        nn.Conv2d(16, 8, 1),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 16, 1),
        nn.BatchNorm2d(16),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, classes),
    )


class _Deformable(nn.Module):
    """A deformable convolution, which has no second derivative."""

    def __init__(self, channels: int, classes: int) -> None:
        from torchvision.ops import DeformConv2d

        super().__init__()
        self.body, self.offsets = nn.Conv2d(channels, 8, 3, padding=1), nn.Conv2d(8, 18, 1)
        self.deformable = DeformConv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x).relu()
        x = self.deformable(x, self.offsets(x)).relu()
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


def deformable(image: Image, classes: int) -> nn.Module:
    """An operation without a second derivative."""
    return _Deformable(image[0], classes)


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


class _Untrainable(nn.Module):
    """Fails in training mode only."""

    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(pixels, classes)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            raise NotImplementedError("no training here")
        return self.head(x.flatten(1))  # type: ignore[no-any-return]


def untrainable(image: Image, classes: int) -> nn.Module:
    """A forward pass that works in eval mode only."""
    return _Untrainable(image[0] * image[1] * image[2], classes)


def all_frozen(image: Image, classes: int) -> nn.Module:
    """No parameter requires a gradient."""
    return layer_norm(image, classes).requires_grad_(False)


class _Untraceable(nn.Module):
    """A branch that depends on what is seen."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(channels, 8, 3), nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x).relu()
        if x.sum() > 1e9:
            x = x / 2
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


def untraceable(image: Image, classes: int) -> nn.Module:
    """A branch on values."""
    return _Untraceable(image[0], classes)
