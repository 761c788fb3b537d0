"""Residual networks for small images (He et al. 2016, arXiv 1512.03385), in two families made of
one block.

resnet18 is the ImageNet layout with a 3x3 stem of stride 1 and no max-pool. resnet20 ... resnet110
are the paper's CIFAR layout, 16, 32 and 64 channels wide. In both, a shortcut whose shape changes
is a 1x1 convolution with batch-norm (option B of the paper; option A is in `padded_resnet.py`). The
last map is averaged, so any image size fits.
"""

from torch import Tensor, nn

from models.initial import initialise


class Block(nn.Module):
    """Two 3x3 convolutions with batch-norm and a shortcut: [B, inputs, H, W] to [B, outputs,
    H/stride, W/stride]."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(outputs))
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Activations after the block."""
        branch = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        out: Tensor = self.relu2(branch + self.shortcut(x))
        return out


class ResNet(nn.Module):
    """A 3x3 stem, stages of blocks, the mean over the map and one linear layer: [B, C, H, W] to
    logits [B, classes].

    Stage i has `depths[i]` blocks of `widths[i]` channels; every stage but the first halves the
    map.
    """

    def __init__(
        self, channels: int, classes: int, *, widths: tuple[int, ...], depths: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        self.stages = nn.Sequential()
        inputs = widths[0]
        for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            stage = nn.Sequential()
            for position in range(depth):
                stage.append(Block(inputs, width, stride=2 if index > 0 and position == 0 else 1))
                inputs = width
            self.stages.append(stage)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(inputs, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, classes]."""
        x = self.stages(self.relu(self.bn(self.conv(x))))
        logits: Tensor = self.fc(self.flatten(self.pool(x)))
        return logits


def _narrow(depth: int, channels: int, classes: int) -> ResNet:
    """The CIFAR layout with `depth` = 6 n + 2 layers: three stages of n blocks."""
    return ResNet(channels, classes, widths=(16, 32, 64), depths=((depth - 2) // 6,) * 3)


def resnet18(image: tuple[int, int, int], classes: int) -> nn.Module:
    """ResNet-18 with a CIFAR stem: 11,173,962 parameters for 3 channels and 10 classes."""
    return ResNet(image[0], classes, widths=(64, 128, 256, 512), depths=(2, 2, 2, 2))


def resnet8(image: tuple[int, int, int], classes: int) -> nn.Module:
    """CIFAR ResNet-8: one block per stage, for small images and quick studies."""
    return _narrow(8, image[0], classes)


def resnet20(image: tuple[int, int, int], classes: int) -> nn.Module:
    """ResNet-20: 270,896 prunable weights for 3 channels and 10 classes."""
    return _narrow(20, image[0], classes)


def resnet32(image: tuple[int, int, int], classes: int) -> nn.Module:
    """ResNet-32."""
    return _narrow(32, image[0], classes)


def resnet44(image: tuple[int, int, int], classes: int) -> nn.Module:
    """ResNet-44."""
    return _narrow(44, image[0], classes)


def resnet56(image: tuple[int, int, int], classes: int) -> nn.Module:
    """ResNet-56."""
    return _narrow(56, image[0], classes)


def resnet110(image: tuple[int, int, int], classes: int) -> nn.Module:
    """ResNet-110."""
    return _narrow(110, image[0], classes)
