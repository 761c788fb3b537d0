"""Trials on the pretended GPU whose steps may be replayed, and networks whose steps cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.contract import trials_on_two_devices as devices
from tests.contract.small_networks import Residual
from tests.pretended_gpu.instrument import PretendedGpu
from trainables.data import loader_interface
from trainables.training.step_graph import StepGraph
from trainables.trial import Trial

NETWORKS = "tests.trainables.training.step_graph_trials"
BATCH = 160


@contextmanager
def captures_counted() -> Iterator[list[str]]:
    """What each capture in here ended with: "" or an error."""
    captured: list[str] = []
    capture = StepGraph._capture

    def note(self: StepGraph, *given: Any) -> None:
        try:
            capture(self, *given)
        except RuntimeError as error:
            captured.append(str(error))
            raise
        captured.append("")

    with mock.patch.object(StepGraph, "_capture", note):
        yield captured


def run(
    folder: Path,
    *,
    method: str = "dense",
    model: str = devices.SMALL,
    precision: str = "bf16",
    **recipe: Any,
) -> tuple[Trial, PretendedGpu]:
    """A trial on a GPU, and that GPU; its tables and weights are those of the CPU."""
    recipe = {"batch": BATCH, "epochs": 2} | recipe
    specs = devices.trials_of(method, precision, model=model, recipe=recipe)
    here = devices.run(specs, folder / "here", ["cpu"])
    sizes = loader_interface.EVALUATION_BATCH
    with mock.patch.dict(sizes, {"cuda": sizes["cpu"]}), PretendedGpu() as gpu:
        trial = devices.run(specs, folder / "there", ["cuda"])
        found = devices.differences(here, trial)
        assert not [name for name in found if "notes" not in name], found
    return trial, gpu


def notes_of(trial: Trial) -> str:
    return str(trial.records.rows[-1]["notes"])


class Dropping(Residual):
    """A network that draws random numbers in every step."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.dropout(x, 0.2, self.training))


def dropping(image: tuple[int, int, int], classes: int) -> nn.Module:
    """See `Dropping`."""
    return Dropping(image[0], classes)


class Backward(torch.autograd.Function):
    """Hands on what it is given, and in the backward pass waits for the device."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        gradient.sum().item()
        return gradient


class Odd(Residual):
    """A network that does what a graph cannot hold before its logits are there."""

    def __init__(self, does: Callable[[Odd, Tensor], Tensor]) -> None:
        super().__init__(1, 10)
        self.does, self.calls = does, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        return self.does(self, super().forward(x))


def waits(image: Any, classes: int) -> nn.Module:
    return Odd(lambda model, x: x * (1.0 if x.sum().isfinite().item() else 0.0))


def waits_backward(image: Any, classes: int) -> nn.Module:
    return Odd(lambda model, x: Backward.apply(x))


def draws_on_host(image: Any, classes: int) -> nn.Module:
    return Odd(lambda model, x: x * float(torch.rand(())) if model.training else x)


def counts(image: Any, classes: int) -> nn.Module:
    return Odd(lambda model, x: x * (1 + 1 / max(1, model.calls)) if model.training else x)


def uses_a_weight_itself(image: Any, classes: int) -> nn.Module:
    return Odd(lambda model, x: x + model.fc.weight.mean())
