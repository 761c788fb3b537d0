"""Networks so small that whole trials on two devices, in a precision that a CPU is slow in, take
parts of a second. Named in studies as FILE:FUNCTION."""

from torch import Tensor, nn

Image = tuple[int, int, int]


class Residual(nn.Module):
    """A convolution, batch-norm, a residual block and a linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.inner = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)
        self.inner_norm = nn.BatchNorm2d(6)
        self.outer = nn.Conv2d(6, 4, 1, bias=False)
        self.outer_norm = nn.BatchNorm2d(4)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x)).relu()
        inner = self.inner_norm(self.inner(x)).relu()
        x = (self.pool(x) + self.outer_norm(self.outer(inner))).relu()
        logits: Tensor = self.fc(x.flatten(1))
        return logits


def residual(image: Image, classes: int) -> nn.Module:
    """A small residual network."""
    return Residual(image[0], classes)
