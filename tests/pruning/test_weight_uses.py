"""How a forward pass uses weights, against torch's counter and by hand."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from models.model_registry import build_model
from pruning import cost
from pruning.masks import prunable
from pruning.weight_uses import plain_kernels, trace_weights
from tests.networks import architectures, weights

IMAGE = (1, 8, 8)


def uses(network: nn.Module, image: tuple[int, int, int] = IMAGE):
    return trace_weights(network, prunable(network), image)


def test_attention_is_counted_projections_by_name_and_products_apart() -> None:
    found = uses(architectures.attention(IMAGE, 10))
    macs = {name: use.macs for name, use in found.weights.items()}
    assert macs == {
        "embed.weight": 8 * 8 * 16,
        "attend.in_proj_weight": 8 * 16 * 48,
        "attend.out_proj.weight": 8 * 16 * 16,
        "first.weight": 2 * 8 * 16 * 16,  # of two layers
        "fc.weight": 16 * 10,
    }
    assert found.products == 2 * 8 * 8 * 16  # queries with keys, and what they weigh
    assert {name: use.runs for name, use in found.weights.items()}["first.weight"] == 2
    assert all(use.as_layer and not use.altered_by for use in found.weights.values())


def test_recurrent_and_transposed_layers_are_counted() -> None:
    macs = {
        name: use.macs for name, use in uses(architectures.recurrent(IMAGE, 10)).weights.items()
    }
    assert macs["lstm.weight_ih_l0"] == macs["lstm.weight_ih_l0_reverse"] == 8 * 40 * 8
    assert macs["lstm.weight_hh_l0"] == 8 * 40 * 10
    assert (macs["cell.weight_ih"], macs["cell.weight_hh"]) == (8 * 36 * 20, 8 * 36 * 12)
    assert macs["up.weight"] == 8 * 12 * 6 * 2


def test_a_weight_that_is_called_functionally_counts_under_its_name() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.raw = nn.Linear(64, 10), nn.Parameter(torch.ones(10, 10))

        def forward(self, x: Tensor) -> Tensor:
            return functional.linear(x.flatten(1), self.layer.weight) @ self.raw

    found = uses(Functional())
    assert found.weights["layer.weight"].macs == 640 and found.other_weights == 100


@pytest.mark.parametrize(
    ("build", "operation"), [(weights.standardised, "mean"), (weights.weight_norm, "")]
)
def test_what_is_made_of_a_weight_is_not_the_weight(build, operation: str) -> None:
    found = uses(build(IMAGE, 10))
    use = found.weights.get("2.weight")
    assert (use.altered_by if use else "") == operation and (use is None or not use.runs)


def test_a_copy_of_a_weight_is_the_weight() -> None:
    class Copies(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return functional.linear(x.flatten(1), self.weight.double().float(), self.bias)

    use = uses(Copies(64, 10)).weights["weight"]
    assert (use.runs, use.altered_by, use.macs) == (1, "", 640)


ZOO = [
    "torchvision:squeezenet1_1",
    "torchvision:densenet121",
    "torchvision:mobilenet_v3_small",
    "torchvision:vit_b_32",
    "torchvision:swin_t",
    "timm:skresnet18",
    "timm:mixer_s32_224",
    "timm:vit_tiny_patch16_224",
]


@pytest.mark.parametrize("name", ZOO)
def test_library_networks_count_as_by_torch(name: str) -> None:
    if name.startswith("timm"):
        pytest.importorskip("timm")
    image = (3, 224, 224)
    with torch.device("meta"):
        network = build_model(name, image=image, classes=1000).eval()
    with plain_kernels(), FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, *image, device="meta"))
    costs = cost.layer_costs(network, image)
    assert 2 * cost.macs(costs) == counter.get_total_flops()
    assert (cost.product_macs(costs) > 0) == any(part in name for part in ("vit", "swin"))
