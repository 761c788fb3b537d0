"""The smaller network: equal to the zeroed one, counted exactly, and as small as was asked for."""

import pytest
import torch
from torch import Tensor, nn

from pruning.structured.channel_groups import find_groups
from pruning.structured.channel_widths import kept_widths
from pruning.structured.keep_plan import choose_channels
from pruning.structured.shrink import shrink, zeroed
from tests.pruning.structured.networks_to_cut import (
    NETWORKS,
    lived_in,
    random_plan,
)

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        *((name, 0) for name in NETWORKS if name != "resnet56"),
        *((name, 1) for name in ("resnet20", "simple_cnn", "mlp")),
        pytest.param("resnet56", 0, marks=pytest.mark.slow),
    ],
)
def test_removed_network_equals_the_zeroed_one(name: str, seed: int) -> None:
    image, model = NETWORKS[name], lived_in(name).double()
    plan = random_plan(find_groups(model, image), seed)
    x = torch.randn(4, *image, dtype=torch.float64)
    with torch.no_grad():
        whole, small = model(x), shrink(model, plan, image=image)(x)
        same = zeroed(model, plan, image=image)(x)
        assert torch.equal(model(x), whole)
    assert (small - same).abs().max() <= 1e-10 * same.abs().max()
    assert (small - whole).abs().max() > 1e-3 * whole.abs().max()


@pytest.mark.parametrize("name", ["resnet20", "vgg16", "simple_cnn", "mlp"])
def test_removed_network_equals_the_zeroed_one_in_single_precision(name: str) -> None:
    image, model = NETWORKS[name], lived_in(name)
    found = find_groups(model, image)
    scores = {group.name: torch.rand(group.channels) for group in found}
    plan = choose_channels(found, scores, kept_widths(found, 0.5))
    x = torch.randn(4, *image)
    with torch.no_grad():
        small, same = shrink(model, plan, image=image)(x), zeroed(model, plan, image=image)(x)
    assert (small - same).abs().max() <= 1e-5 * same.abs().max()


def test_a_group_that_the_plan_does_not_name_stays_whole() -> None:
    image, model, plan = (
        NETWORKS["simple_cnn"],
        lived_in("simple_cnn"),
        {"conv2": torch.arange(0, 64, 2)},
    )
    x, small = torch.randn(2, *image), shrink(model, plan, image=image)
    assert torch.allclose(small(x), zeroed(model, plan, image=image)(x), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(small(x), model(x), rtol=1e-2, atol=1e-2)


def test_the_mean_of_a_batch_norm_without_weights_does_not_live_on() -> None:
    norm, plan, x = (
        nn.BatchNorm2d(3, affine=False),
        {"0": torch.tensor([1])},
        torch.ones(1, 1, 1, 1),
    )
    norm.running_mean.fill_(-2.0)  # type: ignore[union-attr]
    model = nn.Sequential(nn.Conv2d(1, 3, 1), norm, nn.Flatten(), nn.Linear(3, 2)).eval()
    assert torch.allclose(
        shrink(model, plan, image=(1, 1, 1))(x), zeroed(model, plan, image=(1, 1, 1))(x)
    )


def test_small_network_is_plain_and_takes_its_state_back() -> None:
    image, model = NETWORKS["resnet20"], lived_in("resnet20")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    plan = random_plan(find_groups(model, image), 2)
    small = shrink(model, plan, image=image)
    fresh = shrink(lived_in("resnet20", seed=9), plan, image=image)
    fresh.load_state_dict(small.state_dict())
    x = torch.randn(2, *image)
    assert torch.equal(fresh(x), small(x))
    assert list(small.state_dict()) == list(before)
    assert type(small) is type(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_memory_format_is_kept() -> None:
    image, model = (
        NETWORKS["simple_cnn"],
        lived_in("simple_cnn").to(memory_format=torch.channels_last),
    )
    small = shrink(model, {"conv1": torch.arange(5), "conv2": torch.arange(7)}, image=image)
    weight = small.get_parameter("conv2.weight")
    assert weight.shape == (7, 5, 3, 3)
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_width_fields_follow_the_weights() -> None:
    image, model = NETWORKS["simple_cnn"], lived_in("simple_cnn")
    small = shrink(model, random_plan(find_groups(model, image), 3), image=image)
    for layer in small.modules():
        if isinstance(layer, nn.Conv2d):
            assert (layer.out_channels, layer.in_channels) == tuple(layer.weight.shape[:2])
        elif isinstance(layer, nn.Linear):
            assert (layer.out_features, layer.in_features) == tuple(layer.weight.shape)


def test_small_network_trains_and_can_be_shrunk_again() -> None:
    image, model = NETWORKS["resnet20"], lived_in("resnet20")
    model.get_parameter("stages.0.0.conv1.weight").requires_grad_(False)
    small = shrink(model, random_plan(find_groups(model, image), 4), image=image).train()
    small(torch.randn(4, *image)).square().sum().backward()
    for name, parameter in small.named_parameters():
        assert (parameter.grad is None) == (name == "stages.0.0.conv1.weight")
        assert parameter.grad is None or parameter.grad.shape == parameter.shape
    again = shrink(small, random_plan(find_groups(small, image), 5), image=image)
    assert all(parameter.grad is None for parameter in again.parameters())
    assert again(torch.randn(2, *image)).shape == (2, 10)


class Odd(nn.Module):
    """Batch-norm without affine, after a flatten, and without statistics, and layers
    without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, bias=False)
        self.plain = nn.BatchNorm2d(6, affine=False)
        self.flat = nn.BatchNorm1d(24)
        self.fc = nn.Linear(24, 7, bias=False)
        self.stateless = nn.BatchNorm1d(7, track_running_stats=False)
        self.last = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        flat = self.flat(self.plain(self.conv(x)).flatten(1))
        logits: Tensor = self.last(self.stateless(self.fc(flat)).relu())
        return logits


def test_odd_batch_norms_are_cut_too() -> None:
    torch.manual_seed(0)
    model = Odd().double()
    for _ in range(3):
        model(torch.randn(16, 3, 4, 4, dtype=torch.float64) + 1)
    for norm in (model.flat, model.stateless):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    model.eval()
    plan = {"conv": torch.tensor([1, 2, 5]), "fc": torch.tensor([0, 6])}
    x = torch.randn(8, 3, 4, 4, dtype=torch.float64)
    small = shrink(model, plan, image=(3, 4, 4))
    assert torch.allclose(small(x), zeroed(model, plan, image=(3, 4, 4))(x), rtol=1e-12, atol=1e-12)
    assert isinstance(small, Odd)
    assert (small.plain.num_features, small.flat.num_features) == (3, 12)
