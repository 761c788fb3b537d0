"""What the structured engine makes of library networks: the table in docs/own-models.md, and the
layers it rests on."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.networks import judge_channels
from pruning.feature_map_ranks import mean_ranks
from pruning.masks import prunable
from pruning.structured.channel_groups import find_groups
from pruning.structured.channel_widths import sparsity_of_widths
from pruning.structured.shrink import shrink, zeroed
from tests.pruning.structured.library_networks import SIZES
from tests.pruning.structured.networks_to_cut import layers_of, parameter_sparsity

ROOT = Path(__file__).parents[3]
TABLE = dict(
    re.findall(
        r"^\| `([a-z]+:\w+)` \| \d+ \| ([^|]*) \|",
        (ROOT / "docs/own-models.md").read_text(),
        re.MULTILINE,
    )
)


def test_the_table_has_every_network_and_counts_them_rightly() -> None:
    assert list(TABLE) == list(SIZES)
    yes = sum(text.startswith("yes: ") for text in TABLE.values())
    assert f"n = {len(TABLE)} networks, {yes} yes." in (ROOT / "docs/own-models.md").read_text()
    assert all(text.startswith(("yes: ", "no: ")) for text in TABLE.values())


OTHERS = ["torchvision:resnet18", "timm:darknet17", "timm:seresnet18"]


@pytest.mark.parametrize(
    "name",
    [
        *("torchvision:mnasnet0_5", "torchvision:squeezenet1_1"),
        *("timm:resnet10t", "timm:mobilenetv2_050"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS),
    ],
)
def test_the_table_says_what_the_command_says(name: str) -> None:
    assert judge_channels(name, SIZES[name]).split(" | ")[0] == TABLE[name]


class Inverted(nn.Module):
    """A stem, and a block that widens, convolves each channel by itself, narrows, and is added to
    its input."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.widen = nn.Conv2d(8, 12, 1)
        self.norm = nn.BatchNorm2d(12)
        self.depth = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.narrow = nn.Conv2d(12, 8, 1)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x + self.narrow(self.relu(self.depth(self.relu(self.norm(self.widen(x))))))
        return self.fc(self.relu(x).mean((2, 3)))


def test_a_depthwise_convolution_loses_the_channels_of_its_group() -> None:
    torch.manual_seed(0)
    model, image = Inverted().eval().double(), (3, 8, 8)
    residual, inner = find_groups(model, image)
    assert residual.producers == ("stem", "narrow") and residual.residual
    assert not layers_of(residual, model)["depthwise"]
    assert inner.producers == ("widen",) and not inner.residual
    assert layers_of(inner, model) == {
        "writes": {("widen", 1)},
        "norm": {("norm", 1)},
        "depthwise": {("depth", 1)},
        "reads": {("narrow", 1)},
    }
    plan = {residual.name: torch.tensor([0, 2, 5]), inner.name: torch.tensor([1, 4, 7, 11])}
    small = shrink(model, plan, image=image)
    depth = small.get_submodule("depth")
    assert (
        isinstance(depth, nn.Conv2d)
        and depth.groups == depth.in_channels == depth.out_channels == 4
    )
    assert torch.equal(depth.weight, model.depth.weight[plan[inner.name]])
    x = torch.randn(2, *image, dtype=torch.float64)
    torch.testing.assert_close(
        small(x), zeroed(model, plan, image=image)(x), atol=1e-12, rtol=1e-10
    )
    built = 1 - sum(w.numel() for w in prunable(small).values()) / sum(
        w.numel() for w in prunable(model).values()
    )
    assert parameter_sparsity(model, plan, image=image) == built
    assert sparsity_of_widths(model, [inner], {inner.name: 4}) < built


def test_ranks_count_the_activation_after_a_depthwise_convolution() -> None:
    torch.manual_seed(0)
    model, image = Inverted(), (3, 8, 8)
    found = find_groups(model, image)
    images = torch.randn(3, *image)
    before = mean_ranks(model, found, [images])[found[1].name]
    nn.init.zeros_(model.depth.weight)
    nn.init.constant_(
        model.depth.bias, -1.0
    )  # nothing is left after its activation: half of the maps have rank 0
    after = mean_ranks(model, found, [images])[found[1].name]
    assert bool((after <= before).all()) and bool((after < before).any())
