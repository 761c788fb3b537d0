"""Connectedness: the logits can depend on the input over kept weights, whatever the network."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.model_registry import build_model
from pruning.connectivity import emptied_layers, is_connected
from pruning.masks import all_kept
from tests.pruning.structured.library_networks import OF_EVERY_KIND, SIZES, SWIN

IMAGE = (3, 8, 8)


def around(*layers: nn.Module, hidden: int = 8) -> nn.Sequential:
    """Layers between a first convolution and a classifier."""
    ends = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(hidden, 5)]
    return nn.Sequential(nn.Conv2d(3, hidden, 3, padding=1), *layers, *ends)


def narrow_chain(depth: int) -> nn.Sequential:
    pairs = [layer for _ in range(depth) for layer in (nn.Linear(1, 1), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 1), *pairs, nn.Linear(1, 5))


class Encoder(nn.Module):
    """Attention over the positions of a map."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 2, stride=2)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.block(self.embed(x).flatten(2).mT).mean(1))
        return logits


class Between(nn.Module):
    """A function of the features between two linear layers."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last, self.function = nn.Linear(192, 8), nn.Linear(8, 5), function

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.function(self.first(x.flatten(1))))
        return logits


NETWORKS_OF_ALL_KINDS = {
    "unit vectors": Between(nn.functional.normalize),  # as the cosines of Swin v2's attention
    "roots": Between(lambda x: x.relu().sqrt()),  # of what a leaky ReLU would make negative
    "tensors of its own": Between(lambda x: x @ torch.eye(8)),  # in float32 whatever x is
    "sigmoid": around(nn.Conv2d(8, 8, 1), nn.Sigmoid(), nn.Conv2d(8, 8, 1)),
    "group norm": around(nn.Conv2d(8, 8, 1), nn.GroupNorm(2, 8), nn.ReLU()),
    "group norm of one group": around(nn.Conv2d(8, 8, 1), nn.GroupNorm(1, 8), nn.Sigmoid()),
    "instance norm": around(nn.Conv2d(8, 8, 3), nn.InstanceNorm2d(8), nn.ReLU()),
    "no statistics": around(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8, track_running_stats=False)),
    "synchronised": around(nn.Conv2d(8, 8, 3), nn.SyncBatchNorm(8), nn.ReLU6()),
    "layer norm": around(nn.Conv2d(8, 8, 1), nn.LayerNorm((8, 8, 8)), nn.GELU()),
    "log_softmax": nn.Sequential(*around(nn.Conv2d(8, 8, 1)), nn.LogSoftmax(1)),
    "hard sigmoid": around(nn.Conv2d(8, 8, 1), nn.Hardsigmoid()),
    "tanh": around(nn.Conv2d(8, 8, 1), nn.Tanh()),
    "softplus": around(nn.Conv2d(8, 8, 1), nn.Softplus()),
    "80 layers of one neuron": narrow_chain(80),
    "attention": Encoder(),
}


@pytest.mark.parametrize("kind", NETWORKS_OF_ALL_KINDS)
def test_a_healthy_network_is_connected_and_one_with_an_emptied_layer_is_not(kind: str) -> None:
    """The version before: no network here but some with sigmoids, and those always."""
    model = NETWORKS_OF_ALL_KINDS[kind]
    assert is_connected(model, all_kept(model), IMAGE)
    weights = [name for name in all_kept(model) if not name.startswith("block")]
    for name in (weights[0], weights[-1], *([weights[1]] if len(weights) > 2 else [])):
        masks = all_kept(model)
        masks[name][:] = False
        assert emptied_layers(masks) == [name]
        assert not is_connected(model, masks, IMAGE), name


@pytest.mark.slow
@pytest.mark.parametrize("name", [*OF_EVERY_KIND, SWIN])
def test_networks_of_libraries_are_connected_until_an_end_is_empty(name: str) -> None:
    image = (3, SIZES.get(name, 64), SIZES.get(name, 64))
    torch.manual_seed(0)
    model = build_model(name, image=image, classes=10)
    masks = all_kept(model)
    assert is_connected(model, masks, image)
    stems = [layer for layer, mask in masks.items() if mask.dim() == 4 and mask.shape[1] == 3]
    heads = [layer for layer, mask in masks.items() if len(mask) == 10]
    assert stems and heads
    for ends in (stems, heads):
        gone = {**masks, **{layer: torch.zeros_like(masks[layer]) for layer in ends}}
        assert not is_connected(model, gone, image), ends


@pytest.mark.parametrize(
    "name", ["torchvision:shufflenet_v2_x0_5", "torchvision:mobilenet_v3_small", "timm:nf_resnet26"]
)
def test_networks_of_libraries_that_were_called_disconnected(name: str) -> None:
    model = build_model(name, image=(3, 64, 64), classes=10)
    assert is_connected(model, all_kept(model), (3, 64, 64))


def test_a_single_path_through_a_deep_network_is_found() -> None:
    model = build_model("vgg16", image=(3, 32, 32), classes=10)
    masks = {name: torch.zeros_like(mask) for name, mask in all_kept(model).items()}
    for mask in masks.values():
        (mask[0, 0, 1, 1] if mask.dim() == 4 else mask[0, 0]).fill_(True)
    assert is_connected(model, masks, (3, 32, 32))
    masks["features.24.weight"] = masks["features.24.weight"].roll(1, 0)
    assert not is_connected(model, masks, (3, 32, 32)) and not emptied_layers(masks)


def test_two_layers_that_keep_weights_but_miss_each_other_are_disconnected() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    masks = {
        "0.weight": torch.tensor([[True, True], [False, False]]),
        "2.weight": torch.tensor([[False, True]] * 2),
    }
    assert not is_connected(model, masks, (2,))  # type: ignore[arg-type]
    masks["2.weight"][0, 0] = True
    assert is_connected(model, masks, (2,))  # type: ignore[arg-type]


def test_an_emptied_shortcut_beside_a_living_path_does_no_harm_and_depth_does_not_overflow() -> (
    None
):
    model = build_model("resnet110", image=(3, 32, 32), classes=10)
    masks = all_kept(model)
    shortcut = next(name for name in masks if masks[name].shape[2:] == (1, 1))
    masks[shortcut][:] = False
    assert is_connected(model, masks, (3, 32, 32))


def test_the_model_is_left_as_it_was() -> None:
    model = build_model("resnet8", image=(1, 8, 8), classes=10)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    is_connected(model, all_kept(model), (1, 8, 8))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
