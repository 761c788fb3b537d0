"""Networks so small that whole trials on two devices, in a precision that a CPU is slow in, take
parts of a second. Named in studies as FILE:FUNCTION."""

from torch import Tensor, nn

Image = tuple[int, int, int]


class Residual(nn.Module):
    """A convolution, batch-norm, a residual block and a linear layer."""

    def __init__(self, channels: int, classes: int, width: int = 4, inner: int = 6) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.inner = nn.Conv2d(width, inner, 3, stride=2, padding=1, bias=False)
        self.inner_norm = nn.BatchNorm2d(inner)
        self.outer = nn.Conv2d(inner, width, 1, bias=False)
        self.outer_norm = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x)).relu()
        inner = self.inner_norm(self.inner(x)).relu()
        x = (self.pool(x) + self.outer_norm(self.outer(inner))).relu()
        logits: Tensor = self.fc(x.flatten(1))
        return logits


def residual(image: Image, classes: int) -> nn.Module:
    """A small residual network."""
    return Residual(image[0], classes)


def wide_residual(image: Image, classes: int) -> nn.Module:
    """The same with so many filters that a sparsity can be come near by removing some."""
    return Residual(image[0], classes, width=16, inner=24)
