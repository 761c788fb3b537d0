"""The layer that yields the logits is found by what it does."""

import pytest
import torch
from torch import Tensor, nn

from models.model_registry import build_model
from pruning.user_error import UserError
from trainables.weights.head_layer import find_head

torch.set_num_threads(1)
IMAGE = (3, 16, 16)


@pytest.mark.parametrize(
    ("model", "head"),
    [
        ("resnet20", "fc"),
        ("resnet20a", "linear"),
        ("vgg16", "fc"),
        ("vgg16_hidden", "classifier.6"),
        ("simple_cnn", "fc2"),
        ("mlp", "fc3"),
        ("torchvision:resnet18+cifar_stem", "fc"),
        ("torchvision:mobilenet_v3_small", "classifier.3"),
        ("timm:resnet10t", "fc"),
    ],
)
def test_the_head_of_networks_that_people_have(model: str, head: str) -> None:
    torch.manual_seed(0)
    network = build_model(model, image=IMAGE, classes=10).train()
    assert find_head(network, IMAGE, 10) == [head]
    assert network.training


def test_a_convolution_before_the_mean_over_the_map() -> None:
    network = build_model("torchvision:squeezenet1_1", image=(3, 32, 32), classes=7)
    assert find_head(network, (3, 32, 32), 7) == ["classifier.1"]


class Net(nn.Module):
    """Hidden layers as wide as there are classes, and two heads."""

    def __init__(self, ends: str) -> None:
        super().__init__()
        self.ends = ends
        self.hidden = nn.Linear(48, 5)
        self.last = nn.Linear(5, 5)
        self.second = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.hidden(x.flatten(1)).relu()
        match self.ends:
            case "mean of two":
                return (self.last(x) + self.second(x)) / 2
            case "log_softmax":
                return self.last(x).log_softmax(1)
            case "used in another order":
                return self.last(self.second(x).relu())
            case "twice":
                return self.last(self.last(x).relu())
            case "scaled":
                return 0.1 * self.last(x)
            case "mixed":
                return self.last(x) @ torch.ones(5, 5)
        raise AssertionError


@pytest.mark.parametrize(
    ("ends", "heads"),
    [
        ("mean of two", ["last", "second"]),
        ("log_softmax", ["last"]),
        ("used in another order", ["last"]),
        ("scaled", ["last"]),
    ],
)
def test_only_layers_whose_outputs_are_the_logits_count(ends: str, heads: list[str]) -> None:
    torch.manual_seed(0)
    assert find_head(Net(ends), (3, 4, 4), 5) == heads


@pytest.mark.parametrize("ends", ["mixed", "twice"])
def test_where_no_layer_yields_the_logits_this_is_said(ends: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(UserError, match="no layer of the network yields one logit per class"):
        find_head(Net(ends), (3, 4, 4), 5)


def test_other_images_are_one_line() -> None:
    with pytest.raises(UserError, match="does not take images of shape"):
        find_head(Net("scaled"), (3, 5, 5), 5)
