"""The smaller network: equal to the zeroed one, counted exactly, and as small as was asked for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from models.model_registry import build
from pruning.masks import prunable
from pruning.structured.channel_groups import Group, groups
from pruning.structured.shrink import (
    choose,
    find_ratio,
    group_scores,
    parameter_sparsity,
    shrink,
    sparsity_of_widths,
    widths,
    zeroed,
)

torch.set_num_threads(1)

NETWORKS = {
    "resnet18": (3, 16, 16),
    "resnet20": (3, 16, 16),
    "resnet56": (3, 16, 16),
    "vgg16": (3, 32, 32),
    "simple_cnn": (1, 14, 14),
    "mlp": (1, 8, 8),
}


def lived_in(name: str, seed: int = 0) -> nn.Module:
    """A network in eval mode whose batch-norm affine and statistics are far from their initial
    values."""
    torch.manual_seed(seed)
    model = build(name, image=NETWORKS[name], classes=10)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.5)
            for name, buffer in module.named_buffers():
                if name == "running_mean":
                    nn.init.normal_(buffer, std=0.5)
                elif name == "running_var":
                    nn.init.uniform_(buffer, 0.5, 1.5)
        elif isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.normal_(module.bias, std=0.5)
    return model.eval()


def random_plan(found: list[Group], seed: int) -> dict[str, Tensor]:
    """A random number of random channels of every group."""
    generator = torch.Generator().manual_seed(seed)
    plan = {}
    for group in found:
        count = int(torch.randint(1, group.channels + 1, (1,), generator=generator))
        plan[group.name] = torch.randperm(group.channels, generator=generator)[:count].sort().values
    return plan


def weights_of(model: nn.Module) -> int:
    return sum(weight.numel() for weight in prunable(model).values())


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", NETWORKS)
def test_removed_network_equals_the_zeroed_one(name: str, seed: int) -> None:
    image, model = NETWORKS[name], lived_in(name).double()
    plan = random_plan(groups(model, image), seed)
    x = torch.randn(4, *image, dtype=torch.float64)
    with torch.no_grad():
        whole, small = model(x), shrink(model, plan, image=image)(x)
        same = zeroed(model, plan, image=image)(x)
        assert torch.equal(model(x), whole)
    assert (small - same).abs().max() <= 1e-10 * same.abs().max()
    assert (small - whole).abs().max() > 1e-3 * whole.abs().max()


@pytest.mark.parametrize("name", NETWORKS)
def test_removed_network_equals_the_zeroed_one_in_single_precision(name: str) -> None:
    image, model = NETWORKS[name], lived_in(name)
    found = groups(model, image)
    scores = {group.name: torch.rand(group.channels) for group in found}
    plan = choose(found, scores, widths(found, 0.5))
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


@pytest.mark.parametrize("name", NETWORKS)
def test_sparsity_is_counted_without_building_the_network(name: str) -> None:
    image, model = NETWORKS[name], lived_in(name)
    plan = random_plan(groups(model, image), 5)
    built = 1 - weights_of(shrink(model, plan, image=image)) / weights_of(model)
    assert parameter_sparsity(model, plan, image=image) == built


def test_small_network_is_plain_and_takes_its_state_back() -> None:
    image, model = NETWORKS["resnet20"], lived_in("resnet20")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    plan = random_plan(groups(model, image), 2)
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
    small = shrink(model, random_plan(groups(model, image), 3), image=image)
    for layer in small.modules():
        if isinstance(layer, nn.Conv2d):
            assert (layer.out_channels, layer.in_channels) == tuple(layer.weight.shape[:2])
        elif isinstance(layer, nn.Linear):
            assert (layer.out_features, layer.in_features) == tuple(layer.weight.shape)


def test_small_network_trains_and_can_be_shrunk_again() -> None:
    image, model = NETWORKS["resnet20"], lived_in("resnet20")
    model.get_parameter("stages.0.0.conv1.weight").requires_grad_(False)
    small = shrink(model, random_plan(groups(model, image), 4), image=image).train()
    small(torch.randn(4, *image)).square().sum().backward()
    for name, parameter in small.named_parameters():
        assert (parameter.grad is None) == (name == "stages.0.0.conv1.weight")
        assert parameter.grad is None or parameter.grad.shape == parameter.shape
    again = shrink(small, random_plan(groups(small, image), 5), image=image)
    assert all(parameter.grad is None for parameter in again.parameters())
    assert again(torch.randn(2, *image)).shape == (2, 10)


class Odd(nn.Module):
    """Batch-norm without affine, after a flatten, and without statistics, and layers without bias.
    """

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


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"conv3": torch.tensor([0])}, "no channel group 'conv3'; there are: conv1, conv2, fc1"),
        ({"conv1": torch.tensor([0.0])}, "int64"),
        ({"conv1": torch.tensor([], dtype=torch.int64)}, "at least 1 of its 32 channels"),
        ({"conv1": torch.tensor([3, 2])}, "ascend within 0 ... 31"),
        ({"conv1": torch.tensor([2, 2])}, "ascend within 0 ... 31"),
        ({"conv1": torch.tensor([2, 32])}, "ascend within 0 ... 31"),
        ({"conv1": torch.tensor([-1, 2])}, "ascend within 0 ... 31"),
    ],
)
def test_plan_that_does_not_fit_is_refused(plan: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shrink(lived_in("simple_cnn"), plan, image=NETWORKS["simple_cnn"])


@settings(deadline=None)
@given(
    channels=st.integers(1, 600),
    ratio=st.floats(0, 1),
    more=st.floats(0, 1),
    round_to=st.integers(1, 32),
    minimum=st.integers(1, 40),
)
def test_widths(channels: int, ratio: float, more: float, round_to: int, minimum: int) -> None:
    group = Group("g", channels, ("g",), (), ())

    def width(ratio: float) -> int:
        return widths([group], ratio, round_to=round_to, minimum=minimum)["g"]

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
    assert widths(found, 0.5) == {"512": 256, "64": 32, "20": 10, "6": 3}
    assert widths(found, 0.9, round_to=16) == {"512": 48, "64": 16, "20": 16, "6": 6}
    assert widths(found, 1.0) == {"512": 1, "64": 1, "20": 1, "6": 1}
    with pytest.raises(ValueError, match=r"ratio must be in \[0, 1\], but got 1.5"):
        widths(found, 1.5)
    with pytest.raises(ValueError, match="at least 1, but got 0 and 1"):
        widths(found, 0.5, round_to=0)


def test_half_the_channels_of_resnet18_leave_a_quarter_of_its_parameters() -> None:
    model = build("resnet18", image=(3, 32, 32), classes=10)
    found = groups(model, (3, 32, 32))
    plan = {name: torch.arange(width) for name, width in widths(found, 0.5).items()}
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
    found = groups(model, NETWORKS[name])

    def reached(ratio: float) -> float:
        return sparsity_of_widths(model, found, widths(found, ratio, round_to=round_to))

    # Groups are 16, 32, 64 and 128 wide, so widths change at multiples of 1/256 and nowhere
    # between.
    every = {reached(ratio) for ratio in (0, 1, *((2 * step + 1) / 512 for step in range(256)))}
    ratio = find_ratio(model, found, sparsity, round_to=round_to)
    assert abs(reached(ratio) - sparsity) == min(abs(value - sparsity) for value in every)


def test_found_ratio_of_resnet18_is_close() -> None:
    model = build("resnet18", image=(3, 32, 32), classes=10)
    found = groups(model, (3, 32, 32))
    for sparsity in (0.3, 0.5, 0.7, 0.9, 0.95):
        ratio = find_ratio(model, found, sparsity)
        assert sparsity_of_widths(model, found, widths(found, ratio)) == pytest.approx(
            sparsity, abs=0.003
        )
        assert ratio == pytest.approx(1 - (1 - sparsity) ** 0.5, abs=0.01)
    assert find_ratio(model, found, 0.0) == 0.0
    inner = [group for group in found if not group.residual]
    assert find_ratio(model, inner, 0.9999) == 1.0
    with pytest.raises(ValueError, match=r"sparsity must be in \[0, 1\), but got 1.2"):
        find_ratio(model, found, 1.2)


def test_choose_keeps_the_best_and_breaks_ties_by_index() -> None:
    found = [
        Group("a", 5, ("a",), (), ()),
        Group("b", 3, ("b",), (), ()),
        Group("c", 2, ("c",), (), ()),
    ]
    scores = {"a": torch.tensor([1.0, 3.0, 1.0, 1.0, 2.0]), "b": torch.zeros(3)}
    plan = choose(found, scores, {"a": 3, "b": 2})
    assert {name: index.tolist() for name, index in plan.items()} == {"a": [0, 1, 4], "b": [0, 1]}
    assert plan["a"].dtype == torch.int64
    with pytest.raises(ValueError, match="NaN"):
        choose(found, {"b": torch.full((3,), torch.nan)}, {"b": 2})
    with pytest.raises(ValueError, match=r"scores of 'b' must be \[3\], but are \[4\]"):
        choose(found, {"b": torch.zeros(4)}, {"b": 2})


def test_group_scores_sum_over_producers() -> None:
    found = [Group("a", 2, ("a", "c"), (), ()), Group("b", 1, ("b",), (), ())]
    scores = {
        "a": torch.tensor([1.0, 2.0]),
        "b": torch.tensor([7.0]),
        "c": torch.tensor([10.0, 20.0]),
    }
    assert {name: score.tolist() for name, score in group_scores(found, scores).items()} == {
        "a": [11, 22],
        "b": [7],
    }
