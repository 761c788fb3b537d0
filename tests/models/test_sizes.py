"""What is written down of the registry's networks is what they are, counted on the networks
themselves."""

import pytest
import torch

from models import sizes
from models.model_registry import build_model
from pruning.masks import prunable
from pruning.methods.hrank import HRank
from pruning.phases import PhaseContext
from pruning.structured.channel_groups import find_groups
from sweeps.planning.model_check import count_macs_and_parameters
from tests.networks.registry_networks import DEEPER, EVERY_NETWORK
from trainables.trial_spec import TrialSpec, build_without_storage

torch.set_num_threads(1)


def quick(name: str, image: sizes.Image, classes: int) -> bool:
    """Of the networks that are others with more blocks, one kind of image is."""
    return name not in DEEPER or (image, classes) == ((3, 32, 32), 10)


@pytest.mark.parametrize(
    ("name", "image", "classes"),
    [key if quick(*key) else pytest.param(*key, marks=pytest.mark.slow) for key in sizes.COSTS],
)
def test_costs_are_those_of_the_network(name: str, image: sizes.Image, classes: int) -> None:
    if name != "resnet110":  # a second to count, and of the same file as the others
        assert count_macs_and_parameters(name, image, classes) == sizes.COSTS[name, image, classes]
    model = build_without_storage(name, image, classes)
    assert (
        sum(parameter.numel() for parameter in model.parameters())
        == sizes.COSTS[name, image, classes][1]
    )
    prunable_count = sum(weight.numel() for weight in prunable(model).values())
    assert prunable_count == sizes.PRUNABLE[name, image, classes]
    assert sizes.PRUNABLE.keys() == sizes.COSTS.keys()


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_groups_of_deep_networks_by_hand(depth: int) -> None:
    """One in each block and three residual streams; zeros are padded between streams, which
    leaves these alone."""
    blocks = (depth - 2) // 2
    assert sizes.GROUPS[f"resnet{depth}"] == (blocks + 3, 3)
    assert sizes.GROUPS[f"resnet{depth}a"] == (blocks, 0)


@pytest.mark.parametrize("name", EVERY_NETWORK)
def test_groups_are_those_of_the_network(name: str) -> None:
    found = find_groups(build_without_storage(name, (3, 32, 32), 10), (3, 32, 32))
    assert sizes.GROUPS[name] == (len(found), sum(group.residual for group in found))
    assert len({group.name for group in found}) == len(found)


@pytest.mark.parametrize("mode", ["all", "inner"])
def test_a_course_is_the_same_with_and_without_the_network(mode: str) -> None:
    spec = TrialSpec(
        dataset="cifar10",
        model="resnet20",
        method="hrank",
        seed=0,
        knobs={"mode": mode},
        sparsities=(0.5,),
    )
    asked = []

    def make() -> torch.nn.Module:
        asked.append(1)
        return build_model("resnet20", image=(3, 32, 32), classes=10)

    method = spec.build_method()
    assert isinstance(method, HRank)
    counted = method.phases((0.5,), PhaseContext(train_epochs=160, retrain_epochs=160, build=make))
    assert counted == spec.phases() and asked
    assert len(counted) == 2 * {"all": 12, "inner": 9}[mode] + 2
