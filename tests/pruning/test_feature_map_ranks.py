"""Ranks of feature maps against a naive loop by numpy."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.model_registry import build_model
from pruning.feature_map_ranks import lexicographic, mean_ranks
from pruning.structured.channel_groups import find_groups
from tests.pruning.ranked_networks import IMAGE, RESNET8, SIMPLE, VGG, images, naive_ranks, network


@pytest.mark.parametrize(
    ("name", "activations"),
    [
        *(("resnet8", RESNET8), ("simple_cnn", SIMPLE)),
        pytest.param("vgg16", VGG, marks=pytest.mark.slow),  # quick in test_hrank.py
    ],
)
def test_ranks_equal_a_naive_loop(name: str, activations: dict[str, list[str]]) -> None:
    model = network(name).train()
    buffers = [buffer.clone() for buffer in model.buffers()]
    found = find_groups(model, IMAGE)
    ranks = mean_ranks(model, found, (x for x, _ in images(6)))
    assert all(module.training for module in model.modules())
    assert all(torch.equal(now, then) for now, then in zip(model.buffers(), buffers, strict=True))
    expected = naive_ranks(model, activations, 6)
    assert set(ranks) == set(expected) == {group.name for group in found}
    for group, means in expected.items():
        assert ranks[group].tolist() == pytest.approx(means, abs=1e-12)
    values = torch.cat(list(ranks.values()))
    assert (
        values.min() == 0 and len(values.unique()) > 3
    )  # the networks above do have something to tell apart


class Functional(nn.Module):
    """Activations as functions and methods, in place and not, and dropout that only its own mode
    switches off."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (
            nn.Conv2d(3, 5, 3),
            nn.Conv2d(5, 6, 3),
            nn.Linear(6, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(functional.dropout(self.first(x), 0.9, self.training))
        logits: Tensor = self.third(self.second(x).relu_().mean((2, 3)))
        return logits


def test_activations_are_found_as_functions_and_methods_too() -> None:
    torch.manual_seed(0)
    model = Functional().train()
    with torch.no_grad():
        model.get_parameter("first.bias")[:2] = -9
        model.first.weight[2] = 0
        x = torch.randn(3, *IMAGE)
        first = model.first(x).relu()
        maps = {"first": first, "second": model.second(first).relu()}
    ranks = mean_ranks(model, find_groups(model, IMAGE), [x])
    for name, value in maps.items():
        expected = np.mean(
            [[np.linalg.matrix_rank(one.numpy()) for one in image] for image in value], axis=0
        )
        assert ranks[name].tolist() == pytest.approx(expected.tolist(), abs=1e-12)
    assert ranks["first"][:2].tolist() == [0, 0] and ranks["first"][2] <= 1


def test_without_images_it_says_so() -> None:
    model = network("simple_cnn")
    with pytest.raises(ValueError, match="at least 1 image, but got 0"):
        mean_ranks(model, find_groups(model, IMAGE), [])


def block(activation: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), activation),
        *(nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), activation),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)),
    )


@pytest.mark.parametrize(
    "activation",
    ["Hardswish", "ELU", "LeakyReLU", "Mish", "SELU", "CELU", "GELU", "SiLU", "Tanh", "Hardtanh"],
)
def test_activations_that_cut_nothing_off_leave_full_ranks_and_a_note(
    activation: str,
) -> None:
    """The version before refused four of them, and said nothing on the others."""
    model, notes = block(getattr(nn, activation)()), []  # type: ignore[var-annotated]
    ranks = mean_ranks(model, find_groups(model, IMAGE), [torch.randn(4, *IMAGE)], notes=notes)
    assert {name: len(rank) for name, rank in ranks.items()} == {"0": 6, "3": 8}
    assert [set(rank.tolist()) for rank in ranks.values()] == [{14.0}, {12.0}]
    assert notes == [
        "the maps of 14 of 14 channels have full rank in every image: among these the L1 norm "
        "decides"
    ]


def test_behind_a_linear_bottleneck_maps_are_those_of_its_batch_norm() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 5, 1), nn.BatchNorm2d(5)),
        *(nn.Conv2d(5, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)),
    ).eval()
    with torch.no_grad():
        model[3].weight[1] = 0  # type: ignore[index]
        model[4].bias.fill_(0.5)  # type: ignore[union-attr]
        x, notes = torch.randn(3, *IMAGE), []  # type: ignore[var-annotated]
        maps = model[:5](x)
    ranks = mean_ranks(model, find_groups(model, IMAGE), [x], notes=notes)
    expected = np.mean(
        [[np.linalg.matrix_rank(m.numpy()) for m in image] for image in maps], axis=0
    )
    assert ranks["3"].tolist() == pytest.approx(expected.tolist()) and ranks["3"][1] == 1
    assert notes[0] == "no activation follows 1 of 3 groups: ranked by the maps as they are"


@pytest.mark.parametrize("name", ["torchvision:mobilenet_v2", "timm:mobilenetv2_050"])
def test_mobilenet_can_be_ranked(name: str) -> None:
    """The version before: "no activation function follows 'features.1.conv.1'"."""
    torch.manual_seed(0)
    model, image = build_model(name, image=(3, 64, 64), classes=10), (3, 64, 64)
    groups, notes = find_groups(model, image), []  # type: ignore[var-annotated]
    ranks = mean_ranks(model, groups, [torch.randn(2, *image)], notes=notes)
    assert all(len(ranks[group.name]) == group.channels for group in groups)
    assert notes[0].startswith(f"no activation follows 7 of {len(groups)} groups")


def test_ties_go_to_the_second_score_and_then_to_the_lower_index() -> None:
    first = torch.tensor([1.0, 2, 2, 0, 2, 1]).double()
    second = torch.tensor([5.0, 1, 3, 9, 3, 4])
    assert lexicographic(first, second).argsort(descending=True).tolist() == [2, 4, 1, 0, 5, 3]
