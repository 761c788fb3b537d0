"""Masks held on weights; that they hold in training is tested with the training loop."""

import torch
from torch import nn

from pruning.held_masks import HeldMasks
from pruning.masks import Masks


def test_other_masks_take_the_place_of_the_first_in_memory() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    first: Masks = {
        f"{layer}.weight": torch.ones_like(model[layer].weight, dtype=torch.bool)
        for layer in range(2)
    }
    held = HeldMasks(model, first, leave_out_whole=False)
    places = [factor.data_ptr() for factor in held.factors]
    second = {name: torch.rand(mask.shape) < 0.5 for name, mask in first.items()}
    held.replace(second)
    held.apply()
    assert [factor.data_ptr() for factor in held.factors] == places
    for layer in range(2):
        weight = model[layer].weight
        assert torch.equal(weight != 0, second[f"{layer}.weight"])


def test_masks_that_keep_everything_need_not_be_held() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    masks = {"0.weight": torch.ones(3, 4).bool(), "1.weight": torch.zeros(2, 3).bool()}
    held = HeldMasks(model, masks)
    assert [weight is model[1].weight for weight in held.parameters] == [True]
    assert len(HeldMasks(model, masks, leave_out_whole=False).parameters) == 2
