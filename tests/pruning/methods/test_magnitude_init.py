"""Magnitude at initialisation: the largest initial weights, and a layer that it empties."""

import pytest
import torch

from models.model_registry import build_model
from pruning.masks import all_kept, kept_count
from pruning.method import PruneInput
from pruning.phases import Measure, PhaseContext, Prune, Train
from pruning.registry import build_method

torch.set_num_threads(1)


def test_it_prunes_before_the_only_training() -> None:
    method = build_method("magnitude_init", {})
    context = PhaseContext(train_epochs=10, retrain_epochs=4)
    assert method.phases((0.9,), context) == [Prune(0.9), Train("train", 10), Measure(0.9)]
    assert method.starts_from == "init"


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_the_largest_initial_weights_are_kept(scope: str) -> None:
    torch.manual_seed(0)
    model = build_model("lenet_300_100", image=(1, 28, 28), classes=10)
    given = PruneInput(
        model=model,
        masks=all_kept(model),
        sparsity=0.9,
        generator=torch.Generator(),
        images=lambda count: iter(()),
        image=(1, 28, 28),
    )
    masks = build_method("magnitude_init", {"scope": scope}).prune(given)
    assert isinstance(masks, dict)
    kept = {name: int(mask.sum()) for name, mask in masks.items()}
    assert sum(kept.values()) == kept_count(0.9, 266_200)
    for name, mask in masks.items():
        weight = given.weights[name].abs()
        assert float(weight[mask].min()) >= float(weight[~mask].max())
    densities = {name: kept[name] / masks[name].numel() for name in masks}
    if scope == "layer":
        assert all(density == pytest.approx(0.1, abs=1e-3) for density in densities.values())
    else:  # Glorot's weights of the widest layer are the smallest
        assert densities["fc1.weight"] < 0.1 < densities["fc2.weight"] < densities["fc3.weight"]
