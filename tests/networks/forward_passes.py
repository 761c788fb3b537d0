"""Small networks, each a function (image, classes): what their forward pass takes, returns and
does."""

from __future__ import annotations

from torch import Tensor, nn

Image = tuple[int, int, int]


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
