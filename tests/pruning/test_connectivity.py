"""Connectedness: a path of kept weights from the input to an output."""

import torch
from torch import nn

from models.model_registry import build_model
from pruning.connectivity import emptied_layers, is_connected
from pruning.masks import all_kept


def test_an_emptied_layer_in_a_chain_disconnects_it() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
    masks = all_kept(model)
    assert is_connected(model, masks, (1, 4, 4))
    masks["0.weight"][:] = False
    assert emptied_layers(masks) == ["0.weight"]
    assert not is_connected(model, masks, (1, 4, 4))


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
