"""Channels that were removed, put back as zeros."""

import pytest
import torch
from torch import nn

from models.model_registry import build_model
from pruning.masks import prunable
from pruning.structured.channel_groups import find_groups
from pruning.structured.keep_plan import join_plans
from pruning.structured.narrow import narrow, widen
from pruning.structured.shrink import shrink, zeroed
from tests.pruning.structured.library_networks import SWIN

IMAGE = (2, 8, 8)


def make(name: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = build_model(name, image=IMAGE, classes=5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after training: nothing is 0 or 1 any more
            for tensor in (
                module.weight.data,
                module.bias.data,
                module.running_mean,
                module.running_var,
            ):
                assert tensor is not None
                tensor.uniform_(0.5, 1.5)
    return network.eval()


def cuts(network: nn.Module, seed: int) -> list[dict[str, torch.Tensor]]:
    """Two cuts, the second of what the first leaves."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for share in (0.7, 0.5):
        keep = {
            group.name: torch.randperm(group.channels, generator=generator)[
                : max(1, int(share * group.channels))
            ]
            .sort()
            .values
            for group in find_groups(network, IMAGE)
        }
        found.append(keep)
        network = shrink(network, keep, image=IMAGE)
    return found


@pytest.mark.parametrize("name", ["resnet8", "simple_cnn", "mlp"])
def test_a_widened_network_computes_what_the_small_one_does(name: str) -> None:
    network = make(name, 0)
    keeps = cuts(network, 1)
    small = network
    for keep in keeps:
        small = shrink(small, keep, image=IMAGE)
    whole = join_plans(keeps)
    wide, masks = widen(small, make(name, 9), whole, image=IMAGE)
    x = torch.randn(3, *IMAGE, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = zeroed(network, whole, image=IMAGE)(x)
        torch.testing.assert_close(wide(x), expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(small(x), expected, rtol=1e-5, atol=1e-6)
    assert {n: t.shape for n, t in wide.state_dict().items()} == {
        n: t.shape for n, t in network.state_dict().items()
    }
    originals = prunable(network)
    for layer, weight in prunable(wide).items():
        assert torch.equal(weight, originals[layer] * masks[layer]), layer
        assert int(masks[layer].sum()) == prunable(small)[layer].numel(), layer


@pytest.mark.parametrize("name", ["resnet8", "simple_cnn", "mlp"])
def test_a_network_of_given_widths_takes_the_weights_of_any_cut_to_them(name: str) -> None:
    network = make(name, 0)
    keep = cuts(network, 1)[0]
    small = shrink(network, keep, image=IMAGE)
    narrowed = narrow(
        make(name, 9), {group: len(index) for group, index in keep.items()}, image=IMAGE
    )
    narrowed.load_state_dict(small.state_dict())
    x = torch.randn(3, *IMAGE, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.equal(narrowed(x), small(x))


KINDS = ["group_norm_cat", "attention", "depthwise_se"]


SWINS = {
    "small_swin": SWIN,
    "swin_t": "torchvision:swin_t",
}


@pytest.mark.parametrize(
    "kind", [*KINDS, "small_swin", pytest.param("swin_t", marks=pytest.mark.slow)]
)
def test_networks_of_other_kinds_are_rebuilt_and_widened(kind: str) -> None:
    """Blocks of channels, attention heads, gates: stored as widths and weights like any other."""
    image = (3, 64, 64) if kind in SWINS else IMAGE
    name = SWINS.get(kind, f"tests.networks.architectures:{kind}")

    def build(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return build_model(name, image=image, classes=5).eval()

    network, generator = build(0), torch.Generator().manual_seed(1)
    keep = {
        group.name: torch.randperm(group.channels, generator=generator)[
            : (group.channels + 1) // 2
        ].sort()[0]
        for group in find_groups(network, image)
    }
    small = shrink(network, keep, image=image)
    widths = {group: len(index) for group, index in keep.items()}
    narrowed = narrow(build(9), widths, image=image)
    narrowed.load_state_dict(small.state_dict())
    wide, masks = widen(small, build(9), keep, image=image)
    x = torch.randn(2, *image, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.equal(narrowed(x), small(x))
        torch.testing.assert_close(wide(x), small(x), rtol=1e-4, atol=1e-5)
    kept = {layer: int(mask.sum()) for layer, mask in masks.items()}
    left = {layer: weight.numel() for layer, weight in prunable(small).items()}
    assert kept == {layer: left[layer] for layer in kept} and sum(left.values()) < sum(
        weight.numel() for weight in prunable(network).values()
    )
