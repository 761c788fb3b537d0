"""Masks that stay where they are in memory while a trial trains; what they hold is tested with the
methods that change masks."""

from pathlib import Path

import torch

from pruning.phases import Prune, Train
from trainables.environment import Environment
from trainables.phase_runner import PhaseRunner
from trainables.training.recipe import Recipe
from trainables.training_masks import TrainingMasks
from trainables.trial_spec import TrialSpec


def test_the_same_masks_are_held_once_and_others_in_their_place(tmp_path: Path) -> None:
    recipe = Recipe(epochs=1, batch=700)
    spec = TrialSpec(
        dataset="digits", model="mlp", method="rigl", seed=0, sparsities=(0.5,), recipe=recipe
    )
    runner = PhaseRunner(spec, Environment(store=str(tmp_path)))
    assert isinstance(runner.phases[0], Prune) and isinstance(runner.phases[1], Train)
    network = runner.network
    masks = TrainingMasks(network)
    first = masks.hold(whole=True)
    assert masks.hold(whole=True) is first and masks.hold(whole=False) is not first
    held = masks.hold(whole=True)
    places = [factor.data_ptr() for factor in held.factors]
    network.set_masks({name: torch.rand(m.shape) < 0.5 for name, m in network.masks.items()})
    assert masks.replace() is held and masks.hold(whole=True) is held
    assert [factor.data_ptr() for factor in held.factors] == places
    for factor, mask in zip(held.factors, network.masks.values(), strict=True):
        assert torch.equal(factor != 0, mask)
    network.set_masks(dict(network.masks))
    assert masks.hold(whole=True) is not held, "nobody said that these are the same"
