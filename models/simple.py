"""Two small networks without batch-norm, in torch's default initialisation: a plain CNN and a
perceptron."""

from collections import OrderedDict

from torch import nn


def simple_cnn(image: tuple[int, int, int], classes: int) -> nn.Module:
    """Two convolutions and two linear layers: 1,625,866 parameters for 1x28x28 images and 10
    classes.

    Raises:
        ValueError: the image is too small to pool.
    """
    channels, height, width = image
    if min(height, width) < 2:
        raise ValueError(f"simple_cnn needs images of at least 2 x 2, but got {height} x {width}")
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 32, 3, padding=1),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(32, 64, 3, padding=1),
            relu2=nn.ReLU(),
            pool=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(64 * (height // 2) * (width // 2), 128),
            relu3=nn.ReLU(),
            dropout=nn.Dropout(0.5),
            fc2=nn.Linear(128, classes),
        )
    )


def mlp(image: tuple[int, int, int], classes: int) -> nn.Module:
    """LeNet-300-100 on flattened pixels (LeCun et al. 1998): 266,610 parameters for 1x28x28 and 10
    classes."""
    channels, height, width = image
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            fc1=nn.Linear(channels * height * width, 300),
            relu1=nn.ReLU(),
            fc2=nn.Linear(300, 100),
            relu2=nn.ReLU(),
            fc3=nn.Linear(100, classes),
        )
    )
