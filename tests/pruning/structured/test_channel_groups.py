"""Channel groups: against torch-pruning on every network, and by hand on small networks.

Covers: pruning/structured/channel_groups.py, pruning/structured/group_parts.py,
pruning/structured/group_arrangement.py.
"""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.model_registry import build_model
from models.padded_resnet import PaddedResNet
from pruning.structured.channel_groups import analyse, find_groups, list_fixed
from pruning.structured.group_parts import Structure
from pruning.user_error import UserError
from tests.networks.forward_passes import optional
from tests.networks.registry_networks import EVERY_NETWORK
from tests.pruning.structured.networks_to_cut import layers_of

torch.set_num_threads(1)

KINDS = ("writes", "norm", "reads")
IMAGES = {"simple_cnn": (1, 28, 28), "mlp": (1, 28, 28)}
IMAGES |= {"conv2": (3, 16, 16), "conv4": (3, 16, 16), "conv6": (3, 16, 16)}


def image_of(name: str) -> tuple[int, int, int]:
    return IMAGES.get(name, (3, 32, 32))


@pytest.mark.parametrize("name", EVERY_NETWORK)
def test_groups_equal_those_of_torch_pruning(name: str) -> None:
    torch_pruning = pytest.importorskip("torch_pruning")
    image = image_of(name)
    model = build_model(name, image=image, classes=10)
    ours = find_groups(model, image)

    graph = torch_pruning.DependencyGraph().build_dependency(
        model, example_inputs=torch.zeros(1, *image)
    )
    classifier = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    layers = {module: layer for layer, module in model.named_modules()}
    theirs = set()
    for group in graph.get_all_groups(
        ignored_layers=[classifier], root_module_types=[nn.Conv2d, nn.Linear]
    ):
        roles: dict[str, set[tuple[str, int]]] = {"writes": set(), "norm": set(), "reads": set()}
        channels = len(group[0].idxs)
        for dependency, entries in group:
            module = dependency.target.module
            if isinstance(module, nn.BatchNorm2d):
                roles["norm"].add((layers[module], 1))
            elif isinstance(module, nn.Conv2d | nn.Linear):
                outputs = graph.is_out_channel_pruning_fn(dependency.handler)
                roles["writes" if outputs else "reads"].add(
                    (layers[module], len(entries) // channels)
                )
        theirs.add((channels, *(frozenset(role) for role in roles.values())))

    found = {
        (group.channels, *(frozenset(layers_of(group, model)[kind]) for kind in KINDS))
        for group in ours
    }
    if isinstance(model, PaddedResNet):
        # torch-pruning takes the stages that zeros are padded between for one group of channels;
        # ours are left alone there.
        assert found < theirs and len(theirs - found) == 1
    else:
        assert found == theirs


def test_a_flatten_spreads_a_channel_over_the_columns_of_its_map() -> None:
    model = build_model("simple_cnn", image=(1, 28, 28), classes=10)
    found = find_groups(model, (1, 28, 28))
    assert [(group.name, group.channels, group.producers) for group in found] == [
        *(("conv1", 32, ("conv1",)), ("conv2", 64, ("conv2",)), ("fc1", 128, ("fc1",)))
    ]
    assert [layers_of(group, model)["reads"] for group in found] == [
        *({("conv2", 1)}, {("fc1", 14 * 14)}, {("fc2", 1)})
    ]


def test_model_is_left_as_it_is() -> None:
    model = build_model("resnet20", image=(3, 32, 32), classes=10)
    model.get_submodule("stages.0").eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    find_groups(model, (3, 32, 32))
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(not parameter.is_meta for parameter in model.parameters())


class Net(nn.Module):
    """Two convolutions and a classifier; `middle` and `end` say what happens after each
    convolution."""

    def __init__(
        self, middle: Callable[[Tensor], Tensor], end: Callable[[Tensor], Tensor], columns: int = 8
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.fc = nn.Linear(columns, 5)
        self.middle, self.end = middle, end

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.end(self.conv2(self.middle(self.conv1(x)))))
        return logits


def pooled(x: Tensor) -> Tensor:
    return x.mean((2, 3))


@pytest.mark.parametrize(
    ("middle", "end", "columns"),
    [
        (torch.relu, pooled, 1),
        (lambda x: functional.relu(x, inplace=True), lambda x: torch.mean(x, dim=[-1, -2]), 1),
        (functional.gelu, lambda x: x.mean(3).mean(2), 1),
        (
            lambda x: functional.dropout(x, 0.5),
            lambda x: functional.adaptive_avg_pool2d(x, 1).flatten(1),
            1,
        ),
        (lambda x: functional.max_pool2d(x, 2), lambda x: x.view(x.size(0), -1), 4),
        (lambda x: functional.avg_pool2d(x, 2), lambda x: x.reshape(x.shape[0], -1), 4),
        (lambda x: x.relu(), lambda x: torch.flatten(x, 1), 16),
        (lambda x: x + x, lambda x: torch.reshape(x, (x.size(0), -1)), 16),
        (lambda x: torch.add(x, x.relu()), lambda x: x.flatten(start_dim=1), 16),
    ],
)
def test_functional_forms_are_followed(
    middle: Callable[[Tensor], Tensor], end: Callable[[Tensor], Tensor], columns: int
) -> None:
    model = Net(middle, end, 8 * columns)
    first, second = find_groups(model, (3, 4, 4))
    assert (first.name, first.channels, first.producers) == ("conv1", 6, ("conv1",))
    assert (second.name, second.channels, second.producers) == ("conv2", 8, ("conv2",))
    assert layers_of(first, model)["reads"] == {("conv2", 1)}
    assert layers_of(second, model)["reads"] == {("fc", columns)}


@pytest.mark.parametrize(
    ("middle", "end", "columns", "fixed"),
    [
        (lambda x: torch.cat([x[:, 3:], x[:, :3]], 1), pooled, 8, {"conv1": "at fixed places"}),
        (lambda x: x.permute(0, 1, 3, 2), pooled, 8, {}),
        (lambda x: x + x.mean((2, 3), keepdim=True), pooled, 8, {}),
        (lambda x: x + 1, pooled, 8, {"conv1": r"'conv2' \(Conv2d\): a removed .* not be 0"}),
        (torch.sigmoid, pooled, 8, {"conv1": "'conv2'.*would not be 0"}),
        (lambda x: x - x.mean(), pooled, 8, {"conv1": "'mean' over channels"}),
        (lambda x: x.cumsum(1), pooled, 8, {"conv1": "what 'cumsum' does is not known"}),
        (torch.relu, lambda x: x.mean(1).flatten(1), 16, {"conv2": "'mean' over channels"}),
        (torch.relu, lambda x: x.view(-1, 128), 128, {"conv2": "its width is fixed"}),
    ],
)
def test_what_cannot_be_cut_is_named(
    middle: Callable[[Tensor], Tensor],
    end: Callable[[Tensor], Tensor],
    columns: int,
    fixed: dict[str, str],
) -> None:
    structure = analyse(Net(middle, end, columns), (3, 4, 4))
    for layer, reason in fixed.items():
        assert re.search(reason, structure.fixed[layer]) and "\n" not in structure.fixed[layer]
    if not fixed:
        assert [group.channels for group in structure.groups] == [6, 8]


def test_shared_weights_are_cut_together() -> None:
    one, two = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
    two.weight = one.weight
    model = nn.Sequential(nn.Conv2d(3, 4, 1), one, two, nn.Flatten(), nn.Linear(4, 2))
    (group,) = find_groups(model, (3, 1, 1))
    assert group.channels == 4 and group.producers == ("0", "1")


def test_wrong_image_is_a_clear_error() -> None:
    with pytest.raises(UserError, match=r"images of shape \(1, 4, 4\)"):
        find_groups(nn.Sequential(nn.Conv2d(3, 3, 1)), (1, 4, 4))


def test_an_error_without_words_is_named_by_its_kind() -> None:
    class Mute(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise TypeError

    with pytest.raises(UserError, match=r"8, 8\): TypeError$"):
        find_groups(Mute(), (3, 8, 8))


def test_arguments_that_may_be_left_out_are() -> None:
    groups = find_groups(optional((1, 8, 8), 10), (1, 8, 8))
    assert [group.name for group in groups] == ["first", "second"]


def test_channels_added_to_the_input_are_no_group() -> None:
    class Stream(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.back = nn.Conv2d(3, 7, 1), nn.Conv2d(7, 3, 1)
            self.extra, self.end = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1)

        def forward(self, x: Tensor) -> Tensor:
            ended: Tensor = self.end(self.extra(x + self.back(self.inner(x))))
            return ended

    assert [group.name for group in find_groups(Stream(), (3, 4, 4))] == ["inner", "extra"]


def test_channels_added_to_the_output_are_no_group() -> None:
    class Stream(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.back = nn.Conv2d(3, 7, 1), nn.Conv2d(7, 5, 1)
            self.beside = nn.Conv2d(3, 5, 1)

        def forward(self, x: Tensor) -> Tensor:
            added: Tensor = self.beside(x) + self.back(self.inner(x))
            return added

    assert [group.name for group in find_groups(Stream(), (3, 4, 4))] == ["inner"]


def test_reasons_are_listed_with_their_layers_and_the_most_frequent_first() -> None:
    outputs = {"fc": "the network's outputs are made of them"}
    assert list_fixed(Structure((), (), outputs)) == ""
    fixed = {"a": "one", **dict.fromkeys("bcdef", "two"), "g": "three", "h": "three"}
    structure = Structure((), (), fixed | outputs)
    assert list_fixed(structure) == "b, c, d and 2 more (two); g, h (three); and 1 more"
