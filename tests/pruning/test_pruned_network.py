"""A network with masks and cuts, apart from any trial.

What trials do with it is tested in tests/trainables/test_network.py and
tests/trainables/training/test_epoch.py.

Covers: pruning/held_masks.py.
"""

import pytest
import torch
from torch import nn

from pruning.held_masks import HeldMasks
from pruning.masks import prunable
from pruning.prunable_layers import Selection
from pruning.pruned_network import PrunedNetwork
from pruning.real_zeros import WrongZerosError
from pruning.registry import build_method

IMAGE = (1, 4, 4)


def network(**choices: object) -> PrunedNetwork:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    given = {"method": build_method("magnitude", {}), **choices}
    return PrunedNetwork(model, IMAGE, torch.device("cpu"), **given)  # type: ignore[arg-type]


def test_zeros_are_those_of_the_masks_and_of_the_promise() -> None:
    made = network()
    made.set_masks({name: torch.zeros_like(mask) for name, mask in made.masks.items()})
    assert made.sparsity == 1 and made.check_zeros().zeros == made.dense_prunable == 84
    with pytest.raises(WrongZerosError, match="at sparsity 0.5 42 of 84 weights must be kept"):
        made.check_promise(0.5)
    with torch.no_grad():
        made.model[0].weight[0, 0, 0, 0] = 1  # type: ignore[index]
    with pytest.raises(WrongZerosError, match="1 of its 36 masked weights are not zero"):
        made.check_zeros()


def test_a_selection_that_is_given_is_not_looked_for() -> None:
    made = network(method=None, selection=Selection(("3.weight",)))
    assert list(made.masks) == ["3.weight"] and made.dense_prunable == 48
    assert made.fixed_sparsities(0.5) == {}


def test_a_network_that_cannot_be_built_says_so() -> None:
    with pytest.raises(TypeError, match="does not say how to build the network"):
        network().reinitialise("reinit")


def test_held_masks_know_when_weights_have_moved() -> None:
    model = network().model
    masks = {name: torch.rand_like(w) > 0.5 for name, w in prunable(model).items()}
    held = HeldMasks(model, masks)
    held.apply()
    assert not held.moved() and len(held.parameters) == 2
    assert all(not weight[~masks[name]].any() for name, weight in prunable(model).items())
    model.double()
    assert held.moved()
