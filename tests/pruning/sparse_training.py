"""A small network, its trial on digits, and a record of its updates, for tests of methods that
change masks while the network trains."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning.method import PruneInput
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec


def no_images(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    raise AssertionError("these methods need no images of their own")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.Flatten(), nn.Linear(48, 10)
    )


def look(
    model: nn.Module,
    masks: Any,
    *,
    sparsity: float = 0.8,
    progress: float = 0.0,
    interval: float = 0.05,
    seed: int = 0,
) -> PruneInput:
    return PruneInput(
        model=model,
        masks=masks,
        sparsity=sparsity,
        generator=torch.Generator().manual_seed(seed),
        images=no_images,
        image=(3, 6, 6),
        progress=progress,
        interval=interval,
    )


def digits(method: str, knobs: dict[str, Any], *, sparsity: float = 0.8) -> TrialSpec:
    recipe = Recipe(epochs=4, batch=200, lr=0.05, precision="fp32", augment="none")
    study = {"dataset": "digits", "model": "mlp", "seed": 5, "recipe": recipe}
    return TrialSpec.model_validate(
        {**study, "method": method, "knobs": knobs, "sparsities": (sparsity,)}
    )


def record_updates(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[PruneInput, Any, Any]]:
    """What goes into and comes out of every update of a trial: input, masks before, masks after."""
    seen: list[tuple[PruneInput, Any, Any]] = []
    plain = type(trial.runner.method).update

    def update(self: Any, inputs: PruneInput) -> Any:
        before = {name: mask.clone() for name, mask in inputs.masks.items()}
        after = plain(self, inputs)
        seen.append((inputs, before, after))
        return after

    monkeypatch.setattr(type(trial.runner.method), "update", update)
    return seen
