"""The network of a trial: masks hold, momentum is cleared, and a state comes back as it was."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from pruning.masks import all_kept, prunable
from pruning.structured.channel_groups import find_groups
from trainables.network import Network
from trainables.training.recipe import Recipe
from trainables.trial_spec import TrialSpec

IMAGE = (3, 8, 8)
RECIPE = Recipe(lr=0.05, precision="fp32")
SPEC = TrialSpec(dataset="digits", model="resnet8", method="magnitude", seed=3, recipe=RECIPE)


@pytest.fixture
def network() -> Network:
    """A network with fresh weights, whose optimiser has done a step."""
    network = Network(SPEC, IMAGE, 10, torch.device("cpu"))
    train(network)
    return network


def train(network: Network) -> None:
    """One optimiser step."""
    optimizer = network.optimizer or network.renew_optimizer(RECIPE)
    images = torch.randn(4, *IMAGE, generator=torch.Generator().manual_seed(0))
    network.model.train()
    network.model(images).square().sum().backward()
    optimizer.step()


def half_of(network: Network) -> dict[str, Tensor]:
    """Masks that remove every other weight."""
    return {
        name: torch.arange(mask.numel()).view(mask.shape) % 2 == 1
        for name, mask in all_kept(network.model).items()
    }


def momenta(network: Network) -> Iterator[tuple[str, Tensor]]:
    assert network.optimizer is not None
    for name, weight in prunable(network.model).items():
        yield name, network.optimizer.state[weight]["momentum_buffer"]


def test_initial_weights_come_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = Network(SPEC, IMAGE, 10, torch.device("cpu")).copy_weights()
    torch.manual_seed(2)
    again = Network(SPEC, IMAGE, 10, torch.device("cpu")).copy_weights()
    assert all(torch.equal(value, again[name]) for name, value in first.items())


def test_new_masks_set_weights_and_momentum_to_zero(network: Network) -> None:
    masks = half_of(network)
    network.set_masks(masks)
    assert network.sparsity == pytest.approx(0.5, abs=0.01)
    for name, momentum in momenta(network):
        assert not momentum[~masks[name]].any() and momentum[masks[name]].any()
        assert not prunable(network.model)[name][~masks[name]].any()


def test_momentum_of_a_weight_that_comes_back_is_cleared(network: Network) -> None:
    masks = half_of(network)
    network.set_masks(masks)
    train(network)
    network.set_masks(all_kept(network.model))
    for name, momentum in momenta(network):
        assert not momentum[~masks[name]].any()


def test_masks_that_do_not_fit_are_refused(network: Network) -> None:
    masks = {name: mask.view(-1) for name, mask in half_of(network).items()}
    with pytest.raises(ValueError, match=r"masks of 'conv.* must have the shape of the weight, \("):
        network.set_masks(masks)


def test_loaded_weights_are_masked_and_lose_removed_channels(network: Network) -> None:
    dense = network.copy_weights()
    group = find_groups(network.model, IMAGE)[0]
    network.shrink({group.name: torch.arange(3)})
    assert network.optimizer is None and len(network.keep_plans) == 1
    small = network.copy_weights()
    network.set_masks(half_of(network))
    network.load_weights(dense)
    for name, weight in prunable(network.model).items():
        assert torch.equal(weight.detach(), small[name] * network.masks[name])


def test_a_recipe_may_change_within_a_training(network: Network) -> None:
    changed = RECIPE.model_copy(update={"weight_decay": 0.25, "momentum": 0.5})
    groups = network.update_optimizer(changed).param_groups
    assert {(group["weight_decay"], group["momentum"]) for group in groups} == {(0.25, 0.5)}


@pytest.mark.parametrize("midway", [True, False])
def test_a_state_comes_back_as_it_was(network: Network, midway: bool) -> None:
    group = find_groups(network.model, IMAGE)[0]
    network.shrink({group.name: torch.arange(3)})
    network.set_masks(half_of(network))
    train(network)
    state = network.state(midway=midway)
    restored = Network(SPEC, IMAGE, 10, torch.device("cpu"))
    restored.restore(state, RECIPE)
    weights = restored.copy_weights()
    assert all(torch.equal(value, weights[name]) for name, value in network.copy_weights().items())
    assert all(torch.equal(mask, restored.masks[name]) for name, mask in network.masks.items())
    assert restored.sparsity == network.sparsity
    assert (restored.optimizer is not None) == midway
    if midway:
        old, new = dict(momenta(network)), dict(momenta(restored))
        assert all(torch.equal(old[name], new[name]) for name in old)


def test_momentum_that_a_checkpoint_does_not_hold_begins_with_zero_in_fp16() -> None:
    """A checkpoint from before momentum was set, and from before its first optimiser step."""
    recipe = RECIPE.model_copy(update={"precision": "fp16"})
    spec = SPEC.model_copy(update={"recipe": recipe})
    begun, restored = (Network(spec, IMAGE, 10, torch.device("cpu")) for _ in range(2))
    begun.renew_optimizer(recipe)
    state = begun.state(midway=True)
    assert state["optimizer"]
    state["optimizer"]["state"] = {}
    restored.restore(state, recipe)
    assert all(not momentum.any() for _, momentum in momenta(restored))
