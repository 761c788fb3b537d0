"""Random pruning: exact counts by layer, and draws that follow the generator alone."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from pruning.masks import all_kept
from pruning.method import PruneInput
from pruning.methods.random import Random

torch.set_num_threads(1)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 16, 40), nn.ReLU(), nn.Linear(40, 10)
    )


def no_images(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    raise AssertionError("a random choice looks at no image")


def look(sparsity: float, *, seed: int = 0, model: nn.Module | None = None) -> PruneInput:
    model = model or network()
    return PruneInput(
        model=model,
        masks=all_kept(model),
        sparsity=sparsity,
        generator=torch.Generator().manual_seed(seed),
        images=no_images,
        image=(3, 6, 6),
    )


@pytest.mark.parametrize("sparsity", [0.0, 0.37, 0.9])
def test_uniform_prunes_every_layer_alike(sparsity: float) -> None:
    masks = Random().prune(look(sparsity))
    assert sum(int(mask.sum()) for mask in masks.values()) == round(
        (1 - sparsity) * (216 + 5120 + 400)
    )
    for mask, shape in zip(masks.values(), [(8, 3, 3, 3), (40, 128), (10, 40)], strict=True):
        assert mask.shape == shape
        assert abs(int(mask.sum()) - (1 - sparsity) * mask.numel()) <= 1


def test_erk_weighs_layers_by_the_sum_of_their_sides_over_the_product() -> None:
    total = round(0.1 * 5736)
    sides = {
        "0.weight": (8 + 3 + 3 + 3, 216),
        "2.weight": (40 + 128, 5120),
        "4.weight": (10 + 40, 400),
    }
    scale = total / sum(
        side for side, _ in sides.values()
    )  # no layer is full here: each keeps scale x its sides
    masks = Random(layers="erk").prune(look(0.9))
    assert sum(int(mask.sum()) for mask in masks.values()) == total
    for name, (side, size) in sides.items():
        assert scale * side < size
        assert abs(int(masks[name].sum()) - scale * side) <= 1


def test_a_seed_decides_and_another_one_decides_otherwise() -> None:
    one, same, other = (Random().prune(look(0.5, seed=seed)) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_every_weight_is_drawn_as_often_as_any_other() -> None:
    """600 draws of 25 of 50 weights: each stays in half of them, up to five standard errors of
    12.2."""
    model = nn.Linear(10, 5)
    draws = [
        Random().prune(look(0.5, seed=seed, model=model))["weight"].int() for seed in range(600)
    ]
    assert (torch.stack(draws).sum(0) - 300).abs().max() < 62
