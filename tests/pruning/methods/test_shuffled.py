"""Shuffled masks: as many weights of each layer, but others; only the last mask of a trial."""

import torch
from torch import nn

from models.model_registry import build_model
from pruning.masks import all_kept
from pruning.method import PruneInput
from pruning.registry import build_method
from pruning.seeds import derive_seed

IMAGE = (1, 8, 8)


def fresh(seed: int, stream: str) -> nn.Module:
    """The whole network as drawn from a stream."""
    torch.manual_seed(derive_seed(seed, stream))
    return build_model("resnet8", image=IMAGE, classes=10)


def prune_input(model: nn.Module, *, seed: int, last: bool = True) -> PruneInput:
    return PruneInput(
        model=model,
        masks=all_kept(model),
        sparsity=0.7,
        generator=torch.Generator().manual_seed(seed),
        images=lambda count: iter(()),
        image=IMAGE,
        last=last,
    )


def test_a_shuffled_mask_keeps_as_many_weights_of_each_layer_but_others() -> None:
    model = fresh(0, "any")
    original = build_method("magnitude", {}).prune(prune_input(model, seed=1))
    method = build_method("shuffled", {})
    inputs = prune_input(model, seed=1)
    shuffled, again, other = (
        method.prune(a) for a in (inputs, prune_input(model, seed=1), prune_input(model, seed=2))
    )
    assert isinstance(original, dict) and isinstance(shuffled, dict)
    assert isinstance(again, dict) and isinstance(other, dict)
    assert inputs.notes == ["mask of magnitude, shuffled within layers"]
    for name, mask in original.items():
        assert shuffled[name].shape == mask.shape and shuffled[name].dtype == torch.bool
        assert shuffled[name].sum() == mask.sum() == other[name].sum()
        assert torch.equal(shuffled[name], again[name])
        # Two masks drawn apart share kept weights by chance only: density^2 of them, within 5
        # standard deviations.
        for one, two in ((shuffled[name], mask), (shuffled[name], other[name])):
            density, count = mask.double().mean().item(), mask.numel()
            slack = 5 * density * (1 - density) / (count - 1) ** 0.5
            assert abs((one & two).double().mean().item() - density**2) < slack + 1e-9


def test_only_the_last_mask_is_shuffled() -> None:
    model = fresh(0, "any")
    original = build_method("magnitude", {}).prune(prune_input(model, seed=1))
    early = build_method("shuffled", {}).prune(prune_input(model, seed=1, last=False))
    assert isinstance(original, dict) and isinstance(early, dict)
    assert all(torch.equal(early[name], mask) for name, mask in original.items())
