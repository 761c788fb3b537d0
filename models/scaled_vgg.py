"""conv2, conv4 and conv6 (Frankle & Carbin 2019, arXiv 1803.03635, figure 2): VGG scaled down, with
neither batch-norm nor dropout."""

from collections import OrderedDict

from torch import nn

from models.initial import initialise_glorot

WIDTHS = (64, 128, 256)


def _scaled_vgg(stages: int, image: tuple[int, int, int], classes: int) -> nn.Module:
    """Stages of two padded 3x3 convolutions and a max-pool, then linear layers of 256 and 256
    units; a side of one pixel is not pooled further."""
    inputs, height, width = image
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for stage, outputs in enumerate(WIDTHS[:stages]):
        for number in (2 * stage + 1, 2 * stage + 2):
            layers[f"conv{number}"] = nn.Conv2d(inputs, outputs, 3, padding=1)
            layers[f"relu{number}"] = nn.ReLU()
            inputs = outputs
        if min(height, width) > 1:
            layers[f"pool{stage + 1}"] = nn.MaxPool2d(2)
            height, width = height // 2, width // 2
    layers["flatten"] = nn.Flatten()
    features = inputs * height * width
    for number in (1, 2):
        layers[f"fc{number}"] = nn.Linear(features, 256)
        layers[f"relu{2 * stages + number}"] = nn.ReLU()
        features = 256
    layers["fc3"] = nn.Linear(features, classes)
    return initialise_glorot(nn.Sequential(layers))


def conv2(image: tuple[int, int, int], classes: int) -> nn.Module:
    """Two convolutions: 4.3 million parameters for 3x32x32, nearly all in the first linear
    layer."""
    return _scaled_vgg(1, image, classes)


def conv4(image: tuple[int, int, int], classes: int) -> nn.Module:
    """Four convolutions: 2.4 million parameters for 3x32x32."""
    return _scaled_vgg(2, image, classes)


def conv6(image: tuple[int, int, int], classes: int) -> nn.Module:
    """Six convolutions: 2.26 million parameters for 3x32x32, 1.14 million of them in convolutions.

    The paper's figure counts 1.7 and 1.1 million; layers as it lists them have no fewer than
    these.
    """
    return _scaled_vgg(3, image, classes)
