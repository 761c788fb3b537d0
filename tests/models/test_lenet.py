"""The LeNets: counts from the literature, Glorot's initial weights, and what they refuse."""

import math

import pytest
import torch
from torch import nn

from models.model_registry import build_model
from pruning.masks import prunable

torch.set_num_threads(1)
MNIST = (1, 28, 28)


def build(name: str, image: tuple[int, int, int] = MNIST) -> nn.Module:
    torch.manual_seed(0)
    return build_model(name, image=image, classes=10)


@pytest.mark.parametrize(
    ("name", "expected"), [("lenet_300_100", 266_610), ("lenet5_caffe", 431_080)]
)
def test_parameters_are_those_of_the_literature(name: str, expected: int) -> None:
    assert sum(parameter.numel() for parameter in build(name).parameters()) == expected


def test_the_layers_of_lenet5_are_caffes() -> None:
    shapes = [tuple(weight.shape) for weight in prunable(build("lenet5_caffe")).values()]
    assert shapes == [(20, 1, 5, 5), (50, 20, 5, 5), (500, 800), (10, 500)]
    kinds = [type(module).__name__ for module in build("lenet5_caffe").children()]
    assert " ".join(kinds) == "Conv2d MaxPool2d Conv2d MaxPool2d Flatten Linear ReLU Linear"


@pytest.mark.parametrize("name", ["lenet_300_100", "lenet5_caffe", "conv2", "conv4", "conv6"])
def test_initial_weights_are_glorots_normal_ones(name: str) -> None:
    for key, module in build(name).named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.weight.detach()
            fans = weight[0].numel() + weight[:, 0].numel()
            expected, count = math.sqrt(2 / fans), weight.numel()
            # Six standard errors of the sample's standard deviation are never by chance.
            assert float(weight.std()) == pytest.approx(expected, rel=6 / math.sqrt(2 * count)), key
            if count > 1000:
                assert float(weight.abs().max()) > 2.2 * expected, "normal, not uniform"
            assert module.bias is not None and not module.bias.any()


@pytest.mark.parametrize("side", [16, 17, 28, 32, 41])
def test_lenet5_takes_every_image_that_is_large_enough(side: int) -> None:
    model = build("lenet5_caffe", (2, side, 16)).eval()
    assert model(torch.randn(3, 2, side, 16)).shape == (3, 10)


def test_lenet5_refuses_what_it_cannot_pool_twice() -> None:
    with pytest.raises(ValueError, match="at least 16 x 16, but got 28 x 15"):
        build("lenet5_caffe", (1, 28, 15))
