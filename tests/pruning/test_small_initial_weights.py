"""A network that lost channels draws the weights that one of its widths draws."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.model_registry import build_model
from pruning.masks import prunable
from pruning.small_initial_weights import draw_small_weights
from pruning.structured.channel_groups import find_groups
from pruning.structured.shrink import shrink

IMAGE = (3, 32, 32)


def builder(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        torch.manual_seed(7)
        return build_model(name, image=IMAGE, classes=10)

    return build


def cut(model: nn.Module, image: tuple[int, int, int] = IMAGE, part: int = 4) -> nn.Module:
    """The network with a part of the channels of every group."""
    groups = find_groups(model, image)
    keep = {group.name: torch.arange(max(1, group.channels // part)) for group in groups}
    return shrink(model, keep, image=image)


def fan_in(weight: Tensor) -> int:
    return weight[0].numel()


def fan_out(weight: Tensor) -> int:
    return len(weight) * weight[0, 0].numel()


def he(weight: Tensor) -> float:
    """Of the project's networks with batch-norm, and torchvision's."""
    return (2 / fan_out(weight)) ** 0.5 if weight.dim() == 4 else default(weight)


def default(weight: Tensor) -> float:
    """Of torch's layers."""
    return (1 / 3 / fan_in(weight)) ** 0.5


def fixed(weight: Tensor) -> float:
    return 0.01 if weight.dim() == 2 else he(weight)


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("simple_cnn", default),
        ("mlp", default),
        ("resnet8", he),
        ("vgg16", he),
        ("torchvision:mobilenet_v2", fixed),
        ("torchvision:resnet18", he),
        ("timm:resnet10t", he),
    ],
)
def test_the_scale_of_every_layer_is_that_of_its_own_width(
    name: str, scale: Callable[[Tensor], float]
) -> None:
    """The version before drew with the fan-in of the wide layer: 2 times too small here."""
    build = builder(name)
    small = cut(build())
    drawn, left = draw_small_weights(build, small)
    assert not left and {name: v.shape for name, v in drawn.items()} == {
        name: v.shape for name, v in small.state_dict().items()
    }
    for layer, weight in prunable(small).items():
        tolerance = 4 / weight.numel() ** 0.5
        assert float(drawn[layer].std()) == pytest.approx(scale(weight), rel=tolerance), layer
    again, _ = draw_small_weights(build, small)
    assert all(torch.equal(value, again[name]) for name, value in drawn.items())


def test_what_the_network_does_to_its_layers_it_does_to_small_ones() -> None:
    class Zeroed(nn.Module):
        """Draws some weights in its own way, and keeps a layer that it does not use."""

        def __init__(self) -> None:
            super().__init__()
            nn.Conv2d(3, 3, 1)
            layers = [nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 8, 1)]
            self.body = nn.Sequential(*layers)
            nn.init.constant_(self.body[1].weight, 0.25)
            nn.init.constant_(self.body[3].weight, 1 / self.body[3].in_channels)
            self.head = nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.head(self.body(x).relu().mean((2, 3)))
            return logits

    small = cut(Zeroed(), (3, 8, 8))
    drawn, left = draw_small_weights(Zeroed, small)
    assert not left
    assert drawn["body.1.weight"].tolist() == [0.25] * 4
    assert drawn["body.1.running_var"].tolist() == [1.0] * 4
    assert set(drawn["body.3.weight"].flatten().tolist()) == {0.25}


def test_what_cannot_be_drawn_at_its_width_is_named() -> None:
    class OwnLayer(nn.Conv2d):
        reset_parameters = None  # type: ignore[assignment]

        def __init__(self) -> None:
            nn.Module.__init__(self)
            plain = nn.Conv2d(3, 8, 1)
            self.__dict__.update({**vars(plain), **vars(self)})
            self.weight, self.bias = plain.weight, plain.bias

    def build() -> nn.Module:
        return nn.Sequential(OwnLayer(), nn.ReLU(), nn.Conv2d(8, 2, 1), nn.Flatten())

    small = build()
    small[0].weight = nn.Parameter(small[0].weight[:4].detach())  # type: ignore[index]
    drawn, left = draw_small_weights(build, small)
    assert left == ["0.weight"] and "2.weight" in drawn

    class Particular(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 8)
            if self.fc.out_features != 8:
                raise ValueError("eight, please")

    little = Particular()
    little.fc = nn.Linear(4, 2)
    assert draw_small_weights(Particular, little) == ({}, ["fc.weight", "fc.bias"])
