"""Cost counting, against counts by hand, torch's flop counter and torch-pruning."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from models import model_registry
from pruning import cost
from pruning.masks import all_kept, prunable
from tests.networks.registry_networks import EVERY_NETWORK

torch.set_num_threads(1)


class Small(nn.Module):
    """Strided, grouped, dilated and depthwise convolutions on an 11 x 9 map, a layer used twice and
    one not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.strided = nn.Conv2d(3, 8, 3, stride=2, padding=1)  # 11 x 9 -> 6 x 5
        self.grouped = nn.Conv2d(8, 12, (3, 1), groups=4, bias=False)  # -> 4 x 5
        self.norm = nn.BatchNorm2d(12)
        self.depthwise = nn.Conv2d(12, 12, 2, groups=12, dilation=2)  # -> 2 x 3
        self.fc = nn.Linear(12 * 2 * 3, 10)
        self.twice = nn.Linear(10, 10)
        self.idle = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(self.norm(self.grouped(self.strided(x))))
        logits: Tensor = self.twice(self.twice(self.fc(x.flatten(1))))
        return logits


IMAGE = (3, 11, 9)
BY_HAND = {
    "strided.weight": ((8, 3, 3, 3), 8 * 6 * 5 * 27),
    "grouped.weight": ((12, 2, 3, 1), 12 * 4 * 5 * 2 * 3),
    "depthwise.weight": ((12, 1, 2, 2), 12 * 2 * 3 * 4),
    "fc.weight": ((10, 72), 720),
    "twice.weight": ((10, 10), 200),
    "idle.weight": ((4, 5), 0),
}


def flops(model: nn.Module, image: tuple[int, int, int]) -> int:
    """Second opinion: torch's counter, two per multiply-accumulate."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        copy.deepcopy(model).eval()(torch.zeros(1, *image))
    return int(counter.get_total_flops())


def test_layers_by_hand() -> None:
    found = cost.layer_costs(Small(), IMAGE)
    assert {layer.name: (layer.shape, layer.macs) for layer in found} == BY_HAND
    assert [layer.name for layer in found] == list(prunable(Small()))
    assert all(layer.weights == math.prod(layer.shape) for layer in found)
    assert cost.macs(found) == sum(count for _, count in BY_HAND.values())


def test_flop_counter_agrees_on_the_small_network() -> None:
    # torch's counter ignores groups, for which it would count 4 and 12 times too much.
    dense = Small()
    dense.grouped, dense.depthwise = nn.Conv2d(8, 12, (3, 1)), nn.Conv2d(12, 12, 2, dilation=2)
    assert 2 * cost.macs(cost.layer_costs(dense, IMAGE)) == flops(dense, IMAGE)


@pytest.mark.parametrize("name", EVERY_NETWORK)
def test_flop_counter_agrees_on_every_network(name: str) -> None:
    model = model_registry.build_model(name, image=(3, 32, 32), classes=10)
    assert 2 * cost.macs(cost.layer_costs(model, (3, 32, 32))) == flops(model, (3, 32, 32))


@pytest.mark.parametrize(
    ("name", "weighted", "published"),
    [
        # Published figures add to convolutions and linear layers what their tool counts besides.
        ("resnet18", 555_422_720, 556.65),
        ("vgg16", 313_201_664, 314.4),
    ],
)
def test_published_figures_are_met_with_their_additions(
    name: str, weighted: int, published: float
) -> None:
    model = model_registry.build_model(name, image=(3, 32, 32), classes=10).eval()
    counted: dict[type[nn.Module], int] = {}

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        elements = inputs[0].numel() if isinstance(module, nn.MaxPool2d) else output.numel()
        counted[type(module)] = counted.get(type(module), 0) + elements

    for module in model.modules():
        module.register_forward_hook(add)
    found = cost.macs(cost.layer_costs(model, (3, 32, 32)))
    assert found == weighted
    extra = 2 * counted[nn.BatchNorm2d]
    if name == "vgg16":  # with convolution bias, ReLU and max-pool modules, one an element
        extra += counted[nn.Conv2d] + counted[nn.ReLU] + counted[nn.MaxPool2d]
    assert (found + extra) / 1e6 == pytest.approx(published, abs=0.05 if name == "vgg16" else 0.005)


def test_counting_leaves_the_model_as_it_was() -> None:
    model = Small().train()
    model.norm.eval()  # a frozen batch-norm inside a training model
    before = copy.deepcopy(model.state_dict())
    cost.layer_costs(model, IMAGE)
    assert [
        key for key, value in model.state_dict().items() if not torch.equal(value, before[key])
    ] == []
    assert (model.training, model.grouped.training, model.norm.training) == (True, True, False)
    assert all(not module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_buffers_of_a_training_model_are_untouched() -> None:
    model = model_registry.build_model("resnet20", image=(3, 8, 8), classes=10).train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    cost.layer_costs(model, (3, 8, 8))
    assert before
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    assert all(module.training for module in model.modules())


def test_a_failing_pass_puts_everything_back() -> None:
    model = Small().train()
    with pytest.raises(RuntimeError):
        cost.layer_costs(model, (4, 11, 9))
    assert all(module.training and not module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_precision_does_not_matter(dtype: torch.dtype) -> None:
    assert cost.layer_costs(Small().to(dtype), IMAGE) == cost.layer_costs(Small(), IMAGE)


@pytest.mark.parametrize(
    "device",
    [
        "meta",
        pytest.param(
            "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
        ),
    ],
)
def test_device_does_not_matter(device: str) -> None:
    assert cost.layer_costs(Small().to(device), IMAGE) == cost.layer_costs(Small(), IMAGE)


def test_a_bare_layer_is_a_model() -> None:
    (layer,) = cost.layer_costs(nn.Conv2d(1, 2, 3), (1, 5, 4))
    assert layer == cost.LayerCost("weight", (2, 1, 3, 3), 18, 2 * 3 * 2 * 9)


def test_effective_macs_weigh_layers_by_density() -> None:
    model = Small()
    costs, masks = cost.layer_costs(model, IMAGE), all_kept(model)
    assert cost.effective_macs(costs, masks) == cost.effective_macs(costs, {}) == cost.macs(costs)
    masks["strided.weight"][:6] = False  # three quarters
    masks["fc.weight"][:] = False
    expected = 6480 / 4 + 1440 + 288 + 0 + 200
    assert cost.effective_macs(costs, masks) == expected
    assert (
        cost.effective_macs(costs, {k: masks[k] for k in ("strided.weight", "fc.weight")})
        == expected
    )
    assert (
        cost.effective_macs([*costs, cost.LayerCost("empty.weight", (0, 4), 0, 0)], masks)
        == expected
    )


def test_size_by_hand() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 4))
    # 18 + 2, 2 + 2, 32 + 4 parameters; buffers: 2 means, 2 variances and one int64
    assert cost.size(model, {}) == cost.Size(60, 60, 1.0, 60 * 4 + 4 * 4 + 8)
    masks = all_kept(model)
    masks["0.weight"][0] = False
    masks["3.weight"][:, :3] = False
    assert cost.size(model, masks) == cost.Size(60, 60 - 9 - 12, 60 / 39, 264)
    assert cost.size(model.half(), masks).bytes == 60 * 2 + 4 * 2 + 8


def test_nonzero_counts_masks_not_values() -> None:
    model = nn.Linear(4, 3)
    nn.init.zeros_(model.weight)
    assert cost.size(model, all_kept(model)).nonzero == 15


def test_compression_of_nothing_kept_is_infinite() -> None:
    model = nn.Linear(4, 3, bias=False)
    assert cost.size(model, {"weight": torch.zeros(3, 4, dtype=torch.bool)}).compression == math.inf


def test_a_physically_smaller_network_costs_less() -> None:
    pruning = pytest.importorskip("torch_pruning")
    model, image = (
        model_registry.build_model("resnet20", image=(3, 32, 32), classes=10),
        (3, 32, 32),
    )
    before, example = cost.layer_costs(model, image), torch.zeros(1, *image)
    pruner = pruning.pruner.MagnitudePruner(
        model,
        example,
        pruning.importance.MagnitudeImportance(p=1),
        pruning_ratio=0.5,
        ignored_layers=[model.fc],
    )
    pruner.step()
    after = cost.layer_costs(model, image)
    assert [layer.name for layer in after] == [layer.name for layer in before]
    assert 2 * cost.macs(after) == flops(model, image) < cost.macs(before)
    assert (
        cost.size(model, all_kept(model)).params
        == pruning.utils.count_ops_and_params(model, example)[1]
    )


def test_a_mask_that_fits_no_layer_is_refused() -> None:
    model = Small()
    costs = cost.layer_costs(model, IMAGE)
    unknown, misfit = (
        {"norm.weight": torch.ones(12).bool()},
        {"fc.weight": torch.ones(10, 10).bool()},
    )
    for check in (
        lambda masks: cost.effective_macs(costs, masks),
        lambda masks: cost.size(model, masks),
    ):
        with pytest.raises(ValueError, match=r"'norm\.weight' is none"):
            check(unknown)
        with pytest.raises(ValueError, match=r"must have shape \(10, 72\), but has \(10, 10\)"):
            check(misfit)
