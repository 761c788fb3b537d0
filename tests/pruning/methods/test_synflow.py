"""SynFlow: exact densities, an independent re-implementation, invariances, and no layer
collapse."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from models.model_registry import build_model as network
from pruning.connectivity import is_connected
from pruning.masks import all_kept, kept_count, prunable
from pruning.method import PruneInput
from pruning.methods.synflow import SynFlow
from pruning.registry import build_method

torch.set_num_threads(1)
CIFAR = (3, 32, 32)


def no_images(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    raise AssertionError("SynFlow must not look at data")


def prune(
    model: nn.Module,
    sparsity: float,
    *,
    image: tuple[int, int, int] = CIFAR,
    masks: Mapping[str, Tensor] | None = None,
    **knobs: Any,
) -> dict[str, Tensor]:
    given = PruneInput(
        model=model,
        masks=masks or all_kept(model),
        sparsity=sparsity,
        generator=torch.Generator(),
        images=no_images,
        image=image,
    )
    pruned = build_method("synflow", knobs).prune(given)
    assert isinstance(pruned, dict)
    return pruned


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    return network(name, image=CIFAR, classes=10)


def chain() -> nn.Module:
    """Convolutions with batch-norm and linear layers, in which the flow is proportional to every
    layer."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(
            nn.Conv2d(8, 12, 3, padding=1, bias=False),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
        ),
        *(nn.Flatten(), nn.Linear(48, 16, bias=False), nn.ReLU(), nn.Linear(16, 4, bias=False)),
    )


def kept(masks: Mapping[str, Tensor]) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


def equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


SPARSITIES = (0.0, 0.37, 0.9, 0.99, 1.0)


@pytest.mark.parametrize(
    ("iterations", "schedule", "sparsity"),
    [
        *itertools.product((1, 10), ("exponential", "linear"), SPARSITIES),
        *((100, "exponential", 0.99), (100, "linear", 1.0)),
        *((500, "exponential", 0.9), (500, "linear", 0.37)),
    ],
)
def test_the_density_is_exact(iterations: int, schedule: str, sparsity: float) -> None:
    masks = prune(chain(), sparsity, image=(2, 8, 8), iterations=iterations, schedule=schedule)
    assert kept(masks) == kept_count(sparsity, sum(mask.numel() for mask in masks.values()))


def test_the_density_after_each_iteration_follows_the_schedule() -> None:
    assert SynFlow(iterations=4).kept_counts(0.9999, 10**8) == [10**7, 10**6, 10**5, 10**4]
    assert SynFlow(iterations=4, schedule="linear").kept_counts(0.8, 1000) == [800, 600, 400, 200]
    assert SynFlow(iterations=1).kept_counts(0.9, 1000) == [100]


def naive(model: nn.Module, density: float, iterations: int, *, linear: bool) -> dict[str, Tensor]:
    """SynFlow from its description: float masks times absolute weights, a full sort, nothing kept
    between steps."""
    state = {name: value.detach().double().abs() for name, value in model.state_dict().items()}
    masks = {name: torch.ones_like(state[name]) for name in prunable(model)}
    total = sum(mask.numel() for mask in masks.values())
    model.eval()
    for step in range(1, iterations + 1):
        weights = {name: state[name].clone().requires_grad_() for name in masks}
        masked = {name: weight * masks[name] for name, weight in weights.items()}
        functional_call(
            model, {**state, **masked}, torch.ones(1, *CIFAR, dtype=torch.float64)
        ).sum().backward()
        scores = torch.cat([(w.grad * w).abs().detach().flatten() for w in weights.values()])  # type: ignore[operator]
        part = step / iterations
        count = round((1 - (1 - density) * part if linear else density**part) * total)
        together = torch.zeros(total, dtype=torch.float64)
        together[scores.sort(descending=True, stable=True).indices[:count]] = 1
        flat = together.split([mask.numel() for mask in masks.values()])
        masks = {name: part.view_as(masks[name]) for name, part in zip(masks, flat, strict=True)}
    return {name: mask.bool() for name, mask in masks.items()}


@pytest.mark.parametrize("schedule", ["exponential", "linear"])
def test_an_independent_implementation_gives_the_same_masks_bit_for_bit(schedule: str) -> None:
    model = made("resnet20")
    torch.manual_seed(1)
    for name, value in model.state_dict().items():  # statistics and signs as after some training
        if "running_mean" in name or ("bn" in name and "bias" in name):
            value.normal_(0, 0.1)
        elif "bn" in name and "weight" in name:
            value.normal_(0.2, 1)
    masks = prune(model, 0.95, iterations=6, schedule=schedule)
    assert equal(masks, naive(model, 0.05, 6, linear=schedule == "linear"))


def test_the_masks_do_not_depend_on_the_memory_format_or_on_autocast() -> None:
    expected = prune(made("resnet8"), 0.95, iterations=5)
    last = made("resnet8").to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        assert equal(prune(last, 0.95, iterations=5), expected)


@pytest.mark.parametrize("layer", ["0", "3", "8", "10"])
@pytest.mark.parametrize("factor", [1 / 1024, 3.7, -1.0])
def test_the_masks_do_not_change_when_a_layer_is_rescaled(layer: str, factor: float) -> None:
    model = chain()
    with torch.no_grad():
        model.get_parameter(f"{layer}.weight").mul_(factor)
    few: dict[str, Any] = {"image": (2, 8, 8), "iterations": 20}
    assert equal(prune(model, 0.9, **few), prune(chain(), 0.9, **few))


def test_weights_buffers_modes_and_gradients_are_untouched() -> None:
    model = made("resnet8").train()
    model.get_submodule("bn").eval()
    torch.manual_seed(5)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            value.add_(torch.randn_like(value), alpha=0.1)
        assert (
            name.endswith("running_var")
            or not value.is_floating_point()
            or value.numel() < 2
            or value.unique().numel() > 1
        )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    prune(model, 0.9, iterations=3)
    after = model.state_dict()
    assert all(
        after[name].dtype == value.dtype and torch.equal(after[name], value)
        for name, value in before.items()
    )
    assert [module.training for module in model.modules()] == modes
    assert all(
        parameter.grad is None and parameter.requires_grad for parameter in model.parameters()
    )


def test_weights_masked_before_stay_masked() -> None:
    model = chain()
    generator = torch.Generator().manual_seed(0)
    masks = {
        name: torch.rand(weight.shape, generator=generator) < 0.3
        for name, weight in prunable(model).items()
    }
    total = sum(mask.numel() for mask in masks.values())
    pruned = prune(model, 0.9, image=(2, 8, 8), masks=masks)
    assert kept(pruned) == round(0.1 * total)
    assert all(bool((pruned[name] <= masks[name]).all()) for name in masks)
    assert equal(prune(model, 1 - kept(masks) / total, image=(2, 8, 8), masks=masks), masks)
    with pytest.raises(
        ValueError, match=f"cannot keep {round(0.5 * total)} weights: only {kept(masks)} are left"
    ):
        prune(model, 0.5, image=(2, 8, 8), masks=masks)


def test_scores_of_zero_do_not_spoil_the_count() -> None:
    """Half of the network hangs on inputs that are cut off, so that far more weights than may go
    score 0."""
    model = chain()
    masks = all_kept(model)
    masks["0.weight"][2:] = False
    pruned = prune(model, 0.2, image=(2, 8, 8), masks=masks)
    total = sum(mask.numel() for mask in masks.values())
    assert kept(pruned) == round(0.8 * total)
    assert (
        pruned["3.weight"][:, :2].all()
        and pruned["3.weight"].sum() < 0.9 * pruned["3.weight"].numel()
    )
    masks["0.weight"][:] = False  # no flow at all: what is left is taken from the front
    pruned = prune(model, 0.5, image=(2, 8, 8), masks=masks, iterations=7)
    flat = torch.cat([mask.flatten() for mask in pruned.values()])
    assert kept(pruned) == round(0.5 * total) and flat[144 : 144 + kept(pruned)].all()


def test_a_hundred_iterations_keep_connected_what_one_disconnects() -> None:
    model = made("resnet8")
    once, often = prune(model, 0.999, iterations=1), prune(model, 0.999, iterations=100)
    assert kept(once) == kept(often) == round(0.001 * 77_360)
    assert not is_connected(model, once, CIFAR)
    assert is_connected(model, often, CIFAR)


@pytest.mark.parametrize(
    ("name", "iterations"),
    [
        ("resnet20", 20),
        ("vgg16", 4),
        pytest.param("resnet20", 100, marks=pytest.mark.slow),
    ],
)
def test_at_99_percent_the_network_is_connected(name: str, iterations: int) -> None:
    model = made(name)
    masks = prune(model, 0.99, iterations=iterations)
    assert kept(masks) == kept_count(0.99, sum(mask.numel() for mask in masks.values()))
    assert is_connected(model, masks, CIFAR)
    # Only a layer beside another path may be empty.
    assert all("shortcut" in layer for layer, mask in masks.items() if not mask.any())


class Authors:
    """SynFlow as the authors' code computes it: masks as float factors inside the layers, scores of
    all weights, the removed ones among them, a threshold by the k-th smallest, k cut to a whole
    number; gone is what does not exceed it."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model.double().eval()
        self.state = {name: value.detach().abs() for name, value in model.state_dict().items()}
        self.masks = {name: torch.ones_like(self.state[name]) for name in prunable(model)}

    def score(self) -> dict[str, Tensor]:
        weights = {name: self.state[name].clone().requires_grad_() for name in self.masks}
        masked = {name: self.masks[name] * weight for name, weight in weights.items()}
        ones = torch.ones(1, *CIFAR, dtype=torch.float64)
        functional_call(self.model, {**self.state, **masked}, ones).sum().backward()
        return {name: (w.grad * w).detach().abs() for name, w in weights.items()}  # type: ignore[operator]

    def run(self, density: float, rounds: int, *, linear: bool) -> dict[str, Tensor]:
        for done in range(1, rounds + 1):
            scores = self.score()
            flat = torch.cat([score.flatten() for score in scores.values()])
            aim = 1.0 - (1.0 - density) * (done / rounds) if linear else density ** (done / rounds)
            gone = int((1.0 - aim) * flat.numel())
            if gone >= 1:
                threshold = flat.kthvalue(gone).values
                self.masks = {name: (score > threshold).double() for name, score in scores.items()}
        return {name: mask.bool() for name, mask in self.masks.items()}


@pytest.mark.parametrize("schedule", ["exponential", "linear"])
@pytest.mark.parametrize("sparsity", [0.95, 0.9987])
def test_official_counts_give_the_masks_of_the_authors_bit_for_bit(
    schedule: str, sparsity: float
) -> None:
    expected = Authors(made("resnet8")).run(1 - sparsity, 20, linear=schedule == "linear")
    knobs: dict[str, Any] = {"iterations": 20, "schedule": schedule}
    assert equal(prune(made("resnet8"), sparsity, counts="official", **knobs), expected)
    ours = prune(made("resnet8"), sparsity, **knobs)
    assert not equal(ours, expected), "one weight more in an iteration changes those after it"


def test_official_counts_remove_ties_together_and_promise_no_count() -> None:
    model = chain()
    with torch.no_grad():
        model.get_parameter("10.weight").fill_(0.5)  # its columns tie, row by row
        model.get_parameter("10.weight")[:, 3:] = 0
    masks = prune(model, 0.3, image=(2, 8, 8), counts="official", iterations=1)
    total = sum(mask.numel() for mask in masks.values())
    assert kept(masks) < total - int(0.3 * total), "all scores of 0 go, though fewer were asked for"
    assert not build_method("synflow", {"counts": "official"}).keeps_exact_count
    assert build_method("synflow", {}).keeps_exact_count


@pytest.mark.parametrize("sparsity", [0.0, 1.0])
def test_official_counts_at_the_ends(sparsity: float) -> None:
    masks = prune(chain(), sparsity, image=(2, 8, 8), counts="official", iterations=3)
    assert kept(masks) == (1 - sparsity) * sum(mask.numel() for mask in masks.values())
