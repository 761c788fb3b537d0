"""VGG-16 with batch-norm for small images (Simonyan and Zisserman 2015, arXiv 1409.1556), with one
linear layer or with the paper's two hidden linear layers.

`vgg16_hidden` has the layer names of weiaicunzai's pytorch-cifar100 (`features.N`, `classifier.0`,
`.3` and `.6`), so that checkpoints of it load.
"""

from torch import Tensor, nn

from models.initial import initialise

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
HIDDEN = 4096  # units of each hidden linear layer


def _features(image: tuple[int, int, int]) -> nn.Sequential:
    """Stages of 3x3 convolutions with batch-norm: [B, C, H, W] to [B, 512, h, w].

    A 2x2 max-pool follows each stage as long as both sides of the map for `image` are at least 2; a
    network built for one image size therefore takes any larger one, and smaller ones down to what
    its pools allow.
    """
    inputs, height, width = image
    features = nn.Sequential()
    for stage in STAGES:
        for outputs in stage:
            # The bias is idle before batch-norm, but part of the network that the papers count
            # (14.73 M).
            features.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=True))
            features.append(nn.BatchNorm2d(outputs))
            features.append(nn.ReLU())
            inputs = outputs
        if min(height, width) >= 2:
            features.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
    return features


class VGG(nn.Module):
    """Stages of 3x3 convolutions, the mean over the map and one linear layer: [B, C, H, W] to
    logits [B, classes]."""

    def __init__(self, image: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.features = _features(image)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(STAGES[-1][-1], classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, classes]."""
        logits: Tensor = self.fc(self.flatten(self.pool(self.features(x))))
        return logits


class HiddenVGG(nn.Module):
    """The same with two hidden linear layers of 4,096 units and dropout: [B, C, H, W] to logits [B,
    classes]. The mean over the map leaves that of a 32x32 image, one pixel, as it is."""

    def __init__(self, image: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.features = _features(image)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(
            nn.Linear(STAGES[-1][-1], HIDDEN),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(HIDDEN, classes),
        )
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, classes]."""
        logits: Tensor = self.classifier(self.flatten(self.pool(self.features(x))))
        return logits


def vgg16(image: tuple[int, int, int], classes: int) -> nn.Module:
    """VGG-16 with batch-norm and convolution biases: 14,728,266 parameters for 3 channels and 10
    classes."""
    return VGG(image, classes)


def vgg16_hidden(image: tuple[int, int, int], classes: int) -> nn.Module:
    """VGG-16 with batch-norm and two hidden linear layers: 33,646,666 parameters for 3 channels and
    10 classes, 34,015,396 for 100."""
    return HiddenVGG(image, classes)
