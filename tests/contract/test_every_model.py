"""What every network in the registry must keep to. A new name in `models/model_registry.py` is
tested by being there."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from models import model_registry
from pruning.cost import layer_costs, macs
from pruning.filters import l1_norms
from pruning.masks import prunable
from pruning.structured.channel_groups import find_groups
from pruning.structured.channel_widths import kept_widths
from pruning.structured.keep_plan import choose_channels, group_scores
from pruning.structured.shrink import shrink, zeroed
from tests.networks.registry_networks import EVERY_NETWORK

IMAGE, CLASSES = (3, 16, 16), 7


def build(name: str, seed: int = 0, image: tuple[int, int, int] = IMAGE) -> nn.Module:
    torch.manual_seed(seed)
    return model_registry.build_model(name, image=image, classes=CLASSES)


def draw(count: int, image: tuple[int, int, int] = IMAGE) -> Tensor:
    return torch.randn(count, *image, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", model_registry.list_models())
def test_it_takes_images_of_any_channels_and_gives_logits(name: str) -> None:
    # Two unpadded 5x5 convolutions leave nothing of 8x8.
    for image in (IMAGE, (1, 16, 16) if name == "lenet5_caffe" else (1, 8, 8)):
        model = build(name, image=image)
        assert model.eval()(draw(2, image)).shape == (2, CLASSES)
        assert macs(layer_costs(model, image)) > 0


@pytest.mark.parametrize("name", model_registry.list_models())
def test_its_weights_come_from_torchs_seed_alone(name: str) -> None:
    first, again, other = build(name), build(name), build(name, seed=1)
    weights = prunable(first)
    assert weights and all(
        torch.equal(weight, prunable(again)[at]) for at, weight in weights.items()
    )
    assert not any(torch.equal(weight, prunable(other)[at]) for at, weight in weights.items())


@pytest.mark.parametrize("name", model_registry.list_models())
def test_every_parameter_learns(name: str) -> None:
    model = build(name).train()
    cross_entropy(model(draw(4)), torch.arange(4)).backward()
    assert all(
        parameter.grad is not None and bool(parameter.grad.isfinite().all())
        for parameter in model.parameters()
    )


@pytest.mark.parametrize("name", EVERY_NETWORK)
def test_its_channels_can_be_removed(name: str) -> None:
    model = build(name).eval()
    found = find_groups(model, IMAGE)
    filters = {
        layer: model.get_submodule(layer).weight.detach()
        for group in found
        for layer in group.producers
    }
    plan = choose_channels(
        found,
        group_scores(found, {layer: l1_norms(weight) for layer, weight in filters.items()}),
        kept_widths(found, 0.3),
    )
    small, masked = shrink(model, plan, image=IMAGE), zeroed(model, plan, image=IMAGE)
    with torch.no_grad():
        torch.testing.assert_close(small(draw(2)), masked(draw(2)), atol=1e-4, rtol=1e-4)
    # Less of a network whose residual channels stay, as behind shortcuts that pad with zeros.
    part = 0.7 if not name.endswith("a") else 0.705
    assert sum(w.numel() for w in prunable(small).values()) < part * sum(
        w.numel() for w in prunable(model).values()
    )
