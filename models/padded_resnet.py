"""The CIFAR networks of He et al. 2016 (arXiv 1512.03385, section 4.2) with the paper's own
shortcuts, option A: no weights, every second pixel, new channels zero.

Layers are named as in the usual published checkpoints (Idelbayev 2018, "Proper ResNet
implementation for CIFAR10/CIFAR100 in PyTorch"), which therefore load: `conv1 bn1
layer1..3.N.{conv1,bn1,conv2,bn2} linear`. The last map is averaged, so any image size fits.
"""

from torch import Tensor, nn
from torch.nn import functional

from models.initial import initialise

WIDTHS = (16, 32, 64)


class PaddedShortcut(nn.Module):
    """Every `stride`-th pixel, and half of the new channels as zeros on either side: [B, inputs, H,
    W] to [B, outputs, H/stride, W/stride], rounded up. No weights."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before

    def forward(self, x: Tensor) -> Tensor:
        """The map as the block adds it to its branch."""
        x = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(x, (0, 0, 0, 0, self.before, self.after))


class PaddedBlock(nn.Module):
    """Two 3x3 convolutions with batch-norm and a shortcut without weights: [B, inputs, H, W] to [B,
    outputs, H/stride, W/stride], rounded up."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Sequential() if same else PaddedShortcut(inputs, outputs, stride=stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Activations after the block."""
        branch = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        out: Tensor = self.relu2(branch + self.shortcut(x))
        return out


class PaddedResNet(nn.Module):
    """A 3x3 stem, three stages of `blocks` blocks, the mean over the map and one linear layer: [B,
    C, H, W] to logits [B, classes]. The second and the third stage halve the map."""

    def __init__(self, channels: int, classes: int, *, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU()
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], blocks, stride=1)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], blocks, stride=2)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], blocks, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(WIDTHS[2], classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, classes]."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(self.flatten(self.pool(x)))
        return logits


def _stage(inputs: int, outputs: int, blocks: int, *, stride: int) -> nn.Sequential:
    first = PaddedBlock(inputs, outputs, stride=stride)
    return nn.Sequential(
        first, *(PaddedBlock(outputs, outputs, stride=1) for _ in range(blocks - 1))
    )


def resnet20a(image: tuple[int, int, int], classes: int) -> nn.Module:
    """ResNet-20, option A: 269,722 parameters for 3 channels and 10 classes (0.27 M)."""
    return PaddedResNet(image[0], classes, blocks=3)


def resnet32a(image: tuple[int, int, int], classes: int) -> nn.Module:
    """ResNet-32, option A (0.46 M)."""
    return PaddedResNet(image[0], classes, blocks=5)


def resnet44a(image: tuple[int, int, int], classes: int) -> nn.Module:
    """ResNet-44, option A (0.66 M)."""
    return PaddedResNet(image[0], classes, blocks=7)


def resnet56a(image: tuple[int, int, int], classes: int) -> nn.Module:
    """ResNet-56, option A (0.85 M)."""
    return PaddedResNet(image[0], classes, blocks=9)


def resnet110a(image: tuple[int, int, int], classes: int) -> nn.Module:
    """ResNet-110, option A (1.7 M)."""
    return PaddedResNet(image[0], classes, blocks=18)
