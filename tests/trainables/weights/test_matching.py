"""What is drawn fresh, by name, by pattern and as the head, and which tensors are taken for the
rest."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from models.model_registry import build_model
from pruning.user_error import UserError
from tests.trainables.weights.files_of_weights import Weights, build, read, trained, without
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


def test_a_head_is_drawn_fresh_whatever_head_the_file_has(tmp_path: Path) -> None:
    weights = trained()
    body = without("linear")(weights)
    heads: dict[str, Weights] = {
        "other classes": {"linear.weight": torch.ones(7, 64), "linear.bias": torch.ones(7)},
        "none": {},
        "the same": {name: weights[name] for name in ("linear.weight", "linear.bias")},
        "inside another": {"linear.1.weight": torch.ones(7, 64), "linear.1.bias": torch.ones(7)},
        "another name": {"classifier.weight": torch.ones(7, 64), "classifier.bias": torch.ones(7)},
        "with nan": {
            "linear.weight": torch.full((10, 64), torch.nan),
            "linear.bias": torch.ones(10),
        },
    }
    digests = set()
    for kind, head in heads.items():
        file = tmp_path / f"{kind}.pth"
        torch.save({**body, **head}, file)
        given = read(file, fresh=("head",))
        assert given.fresh == ("linear.weight", "linear.bias"), kind
        assert given.tensors.keys() == body.keys()
        assert all(torch.equal(given.tensors[name], body[name]) for name in body)
        digests.add(given.digest)
    assert len(digests) == 1
    # A fresh network keeps its own head.
    network = build(seed=9)
    own = network.state_dict()["linear.weight"].clone()
    assert network.load_state_dict(given.tensors, strict=False).missing_keys == list(given.fresh)
    assert torch.equal(network.state_dict()["linear.weight"], own)


def test_tied_tensors_may_be_given_once_or_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_tied_network.py").write_text(
        "from torch import nn\n"
        "def tied(image, classes):\n"
        "    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 6), nn.Linear(6, 6), nn.ReLU(),\n"
        "                        nn.Linear(6, 6), nn.Linear(6, classes))\n"
        "    net[4].weight = net[2].weight\n"
        "    return net\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model, file = "own_tied_network:tied", tmp_path / "tied.pth"
    asked: dict[str, Any] = {"model": model, "image": (3, 4, 4), "classes": 3}
    weights = copy.deepcopy(build_model(name=model, image=(3, 4, 4), classes=3).state_dict())
    digests = []
    for left_out in ("none", "2.weight", "4.weight"):
        torch.save({n: t for n, t in weights.items() if n != left_out}, file)
        given = read(file, **asked)
        assert torch.equal(given.tensors["2.weight"], given.tensors["4.weight"])
        digests.append(given.digest)
    assert len(set(digests)) == 1
    torch.save({**weights, "4.weight": weights["4.weight"] + 1}, file)
    with pytest.raises(UserError, match="'2.weight' and '4.weight' are one tensor in the network"):
        read(file, **asked)
