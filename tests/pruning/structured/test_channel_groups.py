"""Channel groups: against torch-pruning on every network, and by hand on small networks.

Covers: pruning/structured/channel_groups.py, pruning/structured/channel_spaces.py,
pruning/structured/channelwise.py.
"""

from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.model_registry import build_model, list_models
from pruning.structured.channel_groups import Group, find_groups
from pruning.structured.channelwise import is_depthwise
from pruning.user_error import UserError

torch.set_num_threads(1)

IMAGES = {"simple_cnn": (1, 28, 28), "mlp": (1, 28, 28)}


def image_of(name: str) -> tuple[int, int, int]:
    return IMAGES.get(name, (3, 32, 32))


@pytest.mark.parametrize("name", list_models())
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

    assert theirs == {
        (
            group.channels,
            frozenset((layer, 1) for layer in group.producers),
            frozenset((layer, 1) for layer in group.batch_norms),
            frozenset(group.consumers),
        )
        for group in ours
    }


@pytest.mark.parametrize(
    ("name", "count", "residual"),
    [
        ("resnet18", 12, 4),
        ("resnet20", 12, 3),
        ("resnet56", 30, 3),
        ("vgg16", 13, 0),
        ("simple_cnn", 3, 0),
    ],
)
def test_number_of_groups(name: str, count: int, residual: int) -> None:
    found = find_groups(build_model(name, image=image_of(name), classes=10), image_of(name))
    assert len(found) == count
    assert sum(group.residual for group in found) == residual
    assert len({group.name for group in found}) == count


def test_a_flatten_spreads_a_channel_over_the_columns_of_its_map() -> None:
    found = find_groups(build_model("simple_cnn", image=(1, 28, 28), classes=10), (1, 28, 28))
    assert found == [
        Group("conv1", 32, ("conv1",), (), (("conv2", 1),)),
        Group("conv2", 64, ("conv2",), (), (("fc1", 14 * 14),)),
        Group("fc1", 128, ("fc1",), (), (("fc2", 1),)),
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
    assert find_groups(Net(middle, end, 8 * columns), (3, 4, 4)) == [
        Group("conv1", 6, ("conv1",), (), (("conv2", 1),)),
        Group("conv2", 8, ("conv2",), (), (("fc", columns),)),
    ]


@pytest.mark.parametrize(
    ("middle", "end", "columns", "message"),
    [
        (lambda x: torch.cat([x[:, :3], x[:, 3:]], 1), pooled, 8, "'getitem'"),
        (lambda x: torch.cat([x], 1), pooled, 8, r"'cat' \(cat\)"),
        (lambda x: x.chunk(2, 1)[0], pooled, 8, "'chunk'.*several tensors"),
        (lambda x: x.permute(0, 1, 3, 2), pooled, 8, "'permute'"),
        (lambda x: x + 1, pooled, 8, "'add'.*two tensors"),
        (lambda x: x + x.mean((2, 3), keepdim=True), pooled, 8, "'add'.*one shape"),
        (torch.sigmoid, pooled, 8, "'sigmoid'"),
        (lambda x: x.view(2, 6, 16).view(2, 6, 4, 4), pooled, 8, "'view'.*flatten"),
        (torch.relu, lambda x: x.view(-1, 128), 128, "'view'.*fixes the number of columns"),
        (torch.relu, lambda x: x.mean(1).flatten(1), 16, "'mean'.*channels alone"),
        (lambda x: x - x.mean(), pooled, 8, "'mean'.*must name the dimensions of the map"),
        (torch.relu, lambda x: x.mean((2, 3)) if x.sum() > 0 else x, 8, "cannot be traced"),
        (torch.relu, lambda x: x, 4, "'fc'.*flatten"),
    ],
)
def test_what_cannot_be_followed_is_named(
    middle: Callable[[Tensor], Tensor], end: Callable[[Tensor], Tensor], columns: int, message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        find_groups(Net(middle, end, columns), (3, 4, 4))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Conv2d(6, 6, 3, padding=1, groups=2), r"layer 'layer' \(Conv2d\).*groups=2"),
        (nn.GroupNorm(2, 6), r"layer 'layer' \(GroupNorm\)"),
        (nn.PixelShuffle(1), r"layer 'layer' \(PixelShuffle\)"),
        (nn.ConvTranspose2d(6, 6, 1), r"layer 'layer' \(ConvTranspose2d\)"),
    ],
)
def test_layer_that_cannot_be_followed_is_named(layer: nn.Module, message: str) -> None:
    model = nn.Sequential(OrderedDict(a=nn.Conv2d(3, 6, 1), layer=layer, b=nn.Conv2d(6, 4, 1)))
    with pytest.raises(UserError, match=message):
        find_groups(model, (3, 4, 4))


def test_layer_used_twice_is_refused() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            twice: Tensor = self.conv(self.conv(x).relu())
            return twice

    with pytest.raises(UserError, match=r"'conv'.*twice"):
        find_groups(Twice(), (3, 4, 4))


def test_shared_weights_are_refused() -> None:
    one, two = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
    two.weight = one.weight
    with pytest.raises(UserError, match=r"'1\.weight' and '0\.weight'"):
        find_groups(nn.Sequential(one, two), (3, 4, 4))


def test_wrong_image_is_a_clear_error() -> None:
    with pytest.raises(UserError, match=r"images of shape \(1, 4, 4\)"):
        find_groups(nn.Sequential(nn.Conv2d(3, 3, 1)), (1, 4, 4))


def test_a_tensor_outside_of_a_layer_is_named() -> None:
    class Offset(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.offset = nn.Conv2d(3, 4, 1), nn.Parameter(torch.ones(1, 4, 8, 8))

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x) + self.offset

    with pytest.raises(
        UserError, match=r"node 'offset' \(offset\): it uses a tensor .* outside of a layer$"
    ):
        find_groups(Offset(), (3, 8, 8))


def test_an_error_without_words_is_named_by_its_kind() -> None:
    class Mute(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise TypeError

    with pytest.raises(UserError, match=r"torch\.fx: TypeError$"):
        find_groups(Mute(), (3, 8, 8))


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


def test_flattened_maps_are_not_added_to_plain_columns() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.side, self.end = nn.Conv2d(3, 4, 1), nn.Linear(12, 16), nn.Linear(16, 5)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.end(self.conv(x).flatten(1) + self.side(x.flatten(1)))
            return logits

    with pytest.raises(UserError, match=r"'add'.*one operand was flattened"):
        find_groups(Mixed(), (3, 2, 2))


@pytest.mark.parametrize(
    ("channels", "out", "groups", "depthwise"),
    [(1, 1, 1, False), (2, 2, 2, True), (4, 4, 2, False), (2, 4, 2, False), (4, 4, 4, True)],
)
def test_depthwise_is_one_channel_from_one_of_several(
    channels: int, out: int, groups: int, depthwise: bool
) -> None:
    assert is_depthwise(nn.Conv2d(channels, out, 3, groups=groups)) is depthwise
    assert not is_depthwise(nn.Linear(channels, out))
