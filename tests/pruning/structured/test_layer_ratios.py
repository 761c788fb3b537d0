"""Fractions of filters of single layers: what one layer says for its group, and what is refused."""

import pytest
import torch

from models.model_registry import build_model
from pruning.structured.channel_groups import analyse
from pruning.structured.layer_ratios import widths_set_apart
from pruning.user_error import UserError

torch.set_num_threads(1)
IMAGE = (3, 16, 16)


def widths(ratios: dict[str, float], *, inner: bool = False, round_to: int = 1) -> dict[str, int]:
    structure = analyse(build_model("resnet8", image=IMAGE, classes=10), IMAGE)
    groups = [group for group in structure.groups if not (inner and group.residual)]
    named = {f"{layer}.weight": ratio for layer, ratio in ratios.items()}
    return widths_set_apart(structure, groups, named, round_to=round_to)


def test_a_layer_speaks_for_all_that_write_its_channels() -> None:
    assert widths({"stages.1.0.conv1": 0.25}) == {"stages.1.0.conv1": 24}
    stream = "stages.1.0.conv2"  # with the shortcut, which is added to it
    for one in (stream, "stages.1.0.shortcut.0"):
        assert widths({one: 0.5}) == {stream: 16}
    assert widths({stream: 0.5, "stages.1.0.shortcut.0": 0.5}) == {stream: 16}
    assert widths({stream: 0.0}) == {stream: 32}
    assert widths({stream: 0.4}, round_to=8) == {stream: 16}
    assert widths({}) == {}


@pytest.mark.parametrize(
    ("ratios", "inner", "line"),
    [
        (
            {"stages.1.0.conv2": 0.5, "stages.1.0.shortcut.0": 0.25},
            False,
            "layer_sparsity: stages.1.0.conv2.weight and stages.1.0.shortcut.0.weight write the "
            "same channels, so that the same fraction of their filters must go, but 0.5 and 0.25 "
            "were given; name one of them",
        ),
        (
            {"fc": 0.5},
            False,
            "layer_sparsity: no filters of fc.weight can be removed "
            "(the network's outputs are made of them); take it out",
        ),
        (
            {"conv": 0.5},
            True,
            "layer_sparsity: no filters of conv.weight can be removed "
            "(its channels are left whole by the mode, or by a layer in exclude); take it out",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(ratios: dict[str, float], inner: bool, line: str) -> None:
    with pytest.raises(UserError) as caught:
        widths(ratios, inner=inner)
    assert str(caught.value) == line
