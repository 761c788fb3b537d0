"""The LeNets of the pruning literature (LeCun et al. 1998), by the names it gives them."""

from collections import OrderedDict

from torch import nn

from models.initial import initialise_glorot
from models.simple import mlp

SMALLEST = 16  # the side of the smallest image that two 5x5 convolutions with pooling can take


def lenet_300_100(image: tuple[int, int, int], classes: int) -> nn.Module:
    """LeNet-300-100: linear layers of 300 and 100 units on flattened pixels, 266,610 parameters
    for 1x28x28 and 10 classes; Glorot's normal initial weights, as Frankle & Carbin 2019 (arXiv
    1803.03635, figure 2) use."""
    return initialise_glorot(mlp(image, classes))


def lenet5_caffe(image: tuple[int, int, int], classes: int) -> nn.Module:
    """LeNet-5 as Caffe has it: 20 and 50 filters of 5x5, unpadded, each with a max-pool and without
    a ReLU, then 500 units: 431,080 parameters for 1x28x28 and 10 classes.

    Initial weights: Glorot's normal ones, biases 0.

    Raises:
        ValueError: a side is below 16.
    """
    channels, height, width = image
    if min(height, width) < SMALLEST:
        raise ValueError(
            f"lenet5_caffe needs images of at least {SMALLEST} x {SMALLEST}, "
            f"but got {height} x {width}"
        )
    rows, columns = ((((side - 4) // 2) - 4) // 2 for side in (height, width))
    return initialise_glorot(
        nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(channels, 20, 5),
                pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(20, 50, 5),
                pool2=nn.MaxPool2d(2),
                flatten=nn.Flatten(),
                fc1=nn.Linear(50 * rows * columns, 500),
                relu=nn.ReLU(),
                fc2=nn.Linear(500, classes),
            )
        )
    )
