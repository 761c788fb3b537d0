"""Widths of groups: whole numbers, by hand and by properties, and the ratio that is nearest."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.model_registry import build_model
from pruning.structured.channel_groups import find_groups
from pruning.structured.channel_widths import kept_widths, sparsity_of_widths
from pruning.structured.group_parts import Group
from pruning.structured.shrink import shrink
from tests.pruning.structured.networks_to_cut import (
    NETWORKS,
    lived_in,
    parameter_sparsity,
    random_plan,
    ratio_near,
    weights_of,
)


@settings(deadline=None)
@given(
    channels=st.integers(1, 600),
    ratio=st.floats(0, 1),
    more=st.floats(0, 1),
    round_to=st.integers(1, 32),
    minimum=st.integers(1, 40),
)
def test_widths(channels: int, ratio: float, more: float, round_to: int, minimum: int) -> None:
    group = Group("g", channels, ("g",))

    def width(ratio: float) -> int:
        return kept_widths([group], ratio, round_to=round_to, minimum=minimum)["g"]

    kept = width(ratio)
    assert min(minimum, channels) <= kept <= channels
    assert kept == channels or kept % round_to == 0
    assert width(0) == channels
    assert width(min(1.0, ratio + more)) <= kept
    allowed = [
        w for w in range(1, channels + 1) if w == channels or (w % round_to == 0 and w >= minimum)
    ]
    assert abs(kept - (1 - ratio) * channels) == min(
        abs(w - (1 - ratio) * channels) for w in allowed
    )


def test_widths_by_hand() -> None:
    found = [Group(str(size), size, (str(size),), (), ()) for size in (512, 64, 20, 6)]
    assert kept_widths(found, 0.5) == {"512": 256, "64": 32, "20": 10, "6": 3}
    assert kept_widths(found, 0.9, round_to=16) == {"512": 48, "64": 16, "20": 16, "6": 6}
    assert kept_widths(found, 1.0) == {"512": 1, "64": 1, "20": 1, "6": 1}
    with pytest.raises(ValueError, match=r"ratio must be in \[0, 1\], but got 1.5"):
        kept_widths(found, 1.5)
    with pytest.raises(ValueError, match="at least 1, but got 0 and 1"):
        kept_widths(found, 0.5, round_to=0)


def test_half_the_channels_of_resnet18_leave_a_quarter_of_its_parameters() -> None:
    model = build_model("resnet18", image=(3, 32, 32), classes=10)
    found = find_groups(model, (3, 32, 32))
    plan = {name: torch.arange(width) for name, width in kept_widths(found, 0.5).items()}
    small = shrink(model, plan, image=(3, 32, 32))
    params = sum(parameter.numel() for parameter in small.parameters())
    assert params / 11_173_962 == pytest.approx(
        0.2504, abs=5e-5
    )  # the ratio METHODS.md quotes as measured


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("round_to", [1, 8])
@pytest.mark.parametrize("name", ["resnet20", "simple_cnn"])
def test_found_ratio_is_the_nearest(name: str, round_to: int, sparsity: float) -> None:
    model = lived_in(name)
    found = find_groups(model, NETWORKS[name])

    def reached(ratio: float) -> float:
        return sparsity_of_widths(model, found, kept_widths(found, ratio, round_to=round_to))

    # Groups are 16, 32, 64 and 128 wide, so widths change at multiples of 1/256 and nowhere
    # between.
    every = {reached(ratio) for ratio in (0, 1, *((2 * step + 1) / 512 for step in range(256)))}
    ratio = ratio_near(model, found, sparsity, round_to=round_to)
    assert abs(reached(ratio) - sparsity) == min(abs(value - sparsity) for value in every)


def test_found_ratio_of_resnet18_is_close() -> None:
    model = build_model("resnet18", image=(3, 32, 32), classes=10)
    found = find_groups(model, (3, 32, 32))
    for sparsity in (0.3, 0.5, 0.7, 0.9, 0.95):
        ratio = ratio_near(model, found, sparsity)
        assert sparsity_of_widths(model, found, kept_widths(found, ratio)) == pytest.approx(
            sparsity, abs=0.003
        )
        assert ratio == pytest.approx(1 - (1 - sparsity) ** 0.5, abs=0.01)
    assert ratio_near(model, found, 0.0) == 0.0
    inner = [group for group in found if not group.residual]
    assert ratio_near(model, inner, 0.9999) == 1.0


@pytest.mark.parametrize("name", ["resnet18", "resnet20", "vgg16", "simple_cnn", "mlp"])
def test_sparsity_is_counted_without_building_the_network(name: str) -> None:
    image, model = NETWORKS[name], lived_in(name)
    plan = random_plan(find_groups(model, image), 5)
    built = 1 - weights_of(shrink(model, plan, image=image)) / weights_of(model)
    assert parameter_sparsity(model, plan, image=image) == built
