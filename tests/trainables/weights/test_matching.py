"""What is drawn fresh, by name, by pattern and as the head; files are matched in
test_sources.py."""

import pytest
import torch

from models.model_registry import build_model
from pruning.user_error import UserError
from trainables.weights.matching import Target, find_fresh, match_weights

torch.set_num_threads(1)
IMAGE = (3, 8, 8)


@pytest.fixture(scope="module")
def target() -> Target:
    torch.manual_seed(0)
    network = build_model("resnet20a", image=IMAGE, classes=10)
    return Target(network, "resnet20a", IMAGE, 10)


@pytest.mark.parametrize(
    ("fresh", "count", "some"),
    [
        ((), 0, None),
        (("head",), 2, "linear.bias"),
        (("linear",), 2, "linear.weight"),
        (("linear.bias",), 1, "linear.bias"),
        (("layer3",), 3 * 12, "layer3.2.bn2.num_batches_tracked"),
        (("layer3.*",), 3 * 12, "layer3.0.conv1.weight"),
        (("layer?.0.bn1", "head"), 3 * 5 + 2, "layer2.0.bn1.running_var"),
        (("*.running_mean",), 19, "bn1.running_mean"),
    ],
)
def test_patterns_name_layers_with_all_below_them_or_tensors(
    target: Target, fresh: tuple[str, ...], count: int, some: str | None
) -> None:
    drawn = find_fresh(target, fresh)
    assert len(drawn) == count and (some is None or some in drawn)
    matched = match_weights(target.network.state_dict(), target, where="here", fresh=fresh)
    assert set(matched.fresh) == drawn
    names = list(target.network.state_dict())
    assert list(matched.fresh) == [name for name in names if name in drawn]
    assert list(matched.tensors) == [name for name in names if name not in drawn]


@pytest.mark.parametrize(
    ("fresh", "message"),
    [
        (("fc",), "fresh: no layer or tensor of 'resnet20a' is 'fc'; there are: head, linear"),
        (("hed",), "did you mean 'head'?"),
        (("layer4",), "no layer or tensor of 'resnet20a' is 'layer4'"),
        (("lay",), "no layer or tensor of 'resnet20a' is 'lay'"),
        (("*",), "fresh names all tensors, so nothing is left of the weights"),
    ],
)
def test_a_pattern_that_names_nothing_or_all_is_one_line(
    target: Target, fresh: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        find_fresh(target, fresh)
    assert message in str(caught.value)


def test_what_is_given_does_not_share_memory_with_what_it_came_from(target: Target) -> None:
    weights = target.network.state_dict()
    matched = match_weights(weights, target, where="here")
    matched.tensors["linear.bias"].fill_(7)
    assert not (weights["linear.bias"] == 7).any()


def test_an_unknown_head_does_not_hide_other_unknown_names(target: Target) -> None:
    weights = dict(target.network.state_dict())
    weights |= {"classifier.weight": torch.ones(7, 64), "extra.weight": torch.ones(1)}
    with pytest.raises(UserError, match="2 unexpected \\(classifier.weight, extra.weight\\)"):
        match_weights(weights, target, where="here", fresh=("head",))


def test_of_many_names_the_first_three_are_said(target: Target) -> None:
    weights = {n: t for n, t in target.network.state_dict().items() if not n.startswith("layer1")}
    with pytest.raises(UserError) as caught:
        match_weights(weights, target, where="'file.pth'")
    assert str(caught.value).startswith(
        "'file.pth' does not fit 'resnet20a': 30 missing (layer1.0.conv1.weight, "
        "layer1.0.bn1.weight, layer1.0.bn1.bias, ...)"
    )
