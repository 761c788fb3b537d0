"""Ranks of feature maps against a naive loop by numpy."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning.feature_map_ranks import lexicographic, mean_ranks
from pruning.structured.channel_groups import find_groups
from tests.pruning.ranked_networks import IMAGE, RESNET8, SIMPLE, VGG, images, naive_ranks, network


@pytest.mark.parametrize(
    ("name", "activations"), [("resnet8", RESNET8), ("simple_cnn", SIMPLE), ("vgg16", VGG)]
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


def test_without_images_or_activations_it_says_so() -> None:
    bare = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(576, 2))
    with pytest.raises(ValueError, match="no activation function follows '0'"):
        mean_ranks(bare, find_groups(bare, IMAGE), [torch.randn(1, *IMAGE)])
    model = network("simple_cnn")
    with pytest.raises(ValueError, match="at least 1 image, but got 0"):
        mean_ranks(model, find_groups(model, IMAGE), [])


def test_ties_go_to_the_second_score_and_then_to_the_lower_index() -> None:
    first = torch.tensor([1.0, 2, 2, 0, 2, 1]).double()
    second = torch.tensor([5.0, 1, 3, 9, 3, 4])
    assert lexicographic(first, second).argsort(descending=True).tolist() == [2, 4, 1, 0, 5, 3]
