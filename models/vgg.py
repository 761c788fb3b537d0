"""VGG-16 with batch-norm for small images (Simonyan and Zisserman 2015, arXiv 1409.1556; one linear
layer)."""

from torch import Tensor, nn

from models.initial import initialise

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG(nn.Module):
    """Stages of 3x3 convolutions, the mean over the map and one linear layer: [B, C, H, W] to
    logits [B, classes].

    A 2x2 max-pool follows each stage as long as both sides of the map for `image` are at least 2; a
    network built for one image size therefore takes any larger one, and smaller ones down to what
    its pools allow.
    """

    def __init__(self, image: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        inputs, height, width = image
        self.features = nn.Sequential()
        for stage in STAGES:
            for outputs in stage:
                # The bias is idle before batch-norm, but part of the network that the papers count
                # (14.73 M).
                self.features.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=True))
                self.features.append(nn.BatchNorm2d(outputs))
                self.features.append(nn.ReLU())
                inputs = outputs
            if min(height, width) >= 2:
                self.features.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(inputs, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, classes]."""
        logits: Tensor = self.fc(self.flatten(self.pool(self.features(x))))
        return logits


def vgg16(image: tuple[int, int, int], classes: int) -> nn.Module:
    """VGG-16 with batch-norm and convolution biases: 14,728,266 parameters for 3 channels and 10
    classes."""
    return VGG(image, classes)
