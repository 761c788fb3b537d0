"""Training steps as CUDA graphs, on the pretended GPU: the numbers of eager steps, wherever a
trial is stopped, whatever changes within it, and with a note where there can be no graph.

Covers: trainables/training/step_graph.py, trainables/training/step_state.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, cycle
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.contract import trials_on_two_devices as devices
from tests.contract.small_networks import Residual
from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import PretendedGpu
from trainables.data import loader_interface
from trainables.environment import Environment
from trainables.training import step_graph
from trainables.training.step_graph import StepGraph
from trainables.trial import Trial

HERE = "tests.trainables.training.test_step_graph"
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
    order: tuple[str, ...] = ("cuda",),
    gpu: PretendedGpu | None = None,
    **recipe: Any,
) -> tuple[Trial, PretendedGpu]:
    """A trial on a GPU, and that GPU; its tables and weights are those of the CPU."""
    recipe = {"batch": BATCH, "epochs": 2} | recipe
    specs = devices.trials_of(method, precision, model=model, recipe=recipe)
    here = devices.run(specs, folder / "here", ["cpu"])
    sizes = loader_interface.EVALUATION_BATCH
    with mock.patch.dict(sizes, {"cuda": sizes["cpu"]}), gpu or PretendedGpu() as gpu:
        trial = devices.run(specs, folder / "there", order)
        found = devices.differences(here, trial)
        assert not [name for name in found if "notes" not in name], found
    return trial, gpu


def notes_of(trial: Trial) -> str:
    return str(trial.records.rows[-1]["notes"])


RECIPES: list[dict[str, Any]] = [
    {},
    {"precision": "fp16"},
    {"precision": "fp32", "optimizer": "adamw", "lr": 0.01, "decay_norm_and_bias": False},
    {"nesterov": True, "clip": 0.5, "ema": 0.9, "label_smoothing": 0.1},
    {"precision": "fp16", "clip": 0.5, "schedule": "onecycle"},
    {"augment": "none", "momentum": 0.0},
]


@pytest.mark.parametrize("recipe", RECIPES, ids=range(len(RECIPES)))
@in_cuda_process
def test_replayed_steps_give_the_numbers_of_the_cpu(recipe: dict[str, Any], tmp_path: Path) -> None:
    with captures_counted() as captured:
        trial, gpu = run(tmp_path, **recipe)
    assert captured == [""] and not notes_of(trial)
    full, steps = divmod(trial.runner.loader.count("training"), BATCH)[0], trial.records.epochs
    compared_and_replayed = steps * full - step_graph.WARM_UP
    assert gpu.kernels["graph"] == compared_and_replayed > step_graph.COMPARED


@pytest.mark.parametrize("method", ["magnitude", "gmp", "rigl"])
@in_cuda_process
def test_one_graph_serves_a_training_whose_masks_change(method: str, tmp_path: Path) -> None:
    with captures_counted() as captured:
        trial, gpu = run(tmp_path, method=method, epochs=2, batch=40)
    trainings = 2 if method == "magnitude" else 1
    assert captured == [""] * trainings and not notes_of(trial), (captured, notes_of(trial))
    assert gpu.kernels["graph"] > 4


@in_cuda_process
def test_what_changes_in_a_training_is_captured_anew(tmp_path: Path) -> None:
    changes = [{"epoch": 1, "batch": 200}, {"epoch": 3, "clip": 0.5}, {"epoch": 4, "lr": 0.01}]
    with captures_counted() as captured:
        trial, _ = run(tmp_path, epochs=5, changes=changes)
    assert captured == [""] * 3 and not notes_of(trial)


@pytest.mark.parametrize("order", [["cuda"], ["cuda", "cpu"]], ids="-".join)
@in_cuda_process
def test_a_trial_goes_on_elsewhere_after_a_replay(order: list[str], tmp_path: Path) -> None:
    (spec,) = devices.trials_of(
        "dense", "fp16", model=devices.SMALL, recipe={"batch": BATCH, "ema": 0.9}
    )
    whole = devices.run([spec], tmp_path / "whole", ["cpu"])
    with (
        mock.patch.multiple(step_graph, WARM_UP=1, COMPARED=1),
        mock.patch.dict(loader_interface.EVALUATION_BATCH, {"cuda": 250}),
        PretendedGpu() as gpu,
    ):
        replays = []
        for device in cycle(order):
            trial = Trial(spec, devices.environment(tmp_path / "moving", device))
            batches = count(1)
            trial.advance(lambda of=batches: next(of) % 3 == 0)
            trial.save()
            replays.append(gpu.kernels.pop("graph", 0))
            if trial.done:
                break
        assert replays.count(2) >= 2, "one compared and one other replay in a process"
        assert not (found := devices.differences(whole, trial)), found


@in_cuda_process
def test_a_trial_pauses_and_saves_between_replays(tmp_path: Path) -> None:
    (spec,) = devices.trials_of("dense", "bf16", model=devices.SMALL, recipe={"batch": BATCH})
    with PretendedGpu() as gpu:
        whole = devices.run([spec], tmp_path / "whole", ["cuda"])
        trial = Trial(spec, devices.environment(tmp_path / "pausing", "cuda"))
        while not trial.done:
            trial.advance(lambda: True)
            trial.save()
        assert gpu.kernels["graph"] > 8
        assert not (found := devices.differences(whole, trial)), found


class Dropping(Residual):
    """A network that draws random numbers in every step."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.dropout(x, 0.2, self.training))


def dropping(image: tuple[int, int, int], classes: int) -> nn.Module:
    """See `Dropping`."""
    return Dropping(image[0], classes)


@in_cuda_process
def test_trials_that_take_turns_in_one_process_leave_no_trace_in_each_other(tmp_path: Path) -> None:
    """What several trials in one worker would rest on, see decision 25: batch by batch, one of
    them with random numbers, one with a scaler of gradients, one whose masks change."""
    kinds = [("dense", "bf16", f"{HERE}:dropping"), ("dense", "fp16", devices.SMALL)]
    kinds += [("rigl", "bf16", devices.SMALL)]
    specs = [
        devices.trials_of(method, precision, model=model, recipe={"batch": BATCH})[-1]
        for method, precision, model in kinds
    ]
    with PretendedGpu() as gpu:
        alone = [devices.run([spec], tmp_path / "alone", ["cuda"]) for spec in specs]
        gpu.clear()
        together = [Trial(spec, devices.environment(tmp_path / "turns", "cuda")) for spec in specs]
        while waiting := [trial for trial in together if not trial.done]:
            for trial in waiting:
                trial.advance(lambda: True)
        assert gpu.kernels["graph"] > 10
        for one, other in zip(alone, together, strict=True):
            assert not (found := devices.differences(one, other)), found


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


@in_cuda_process
def test_weights_are_cast_one_by_one_where_it_makes_a_difference(tmp_path: Path) -> None:
    with captures_counted() as captured:
        trial, gpu = run(tmp_path, model=f"{HERE}:uses_a_weight_itself")
    assert captured == ["", ""] and not notes_of(trial) and gpu.kernels["graph"] > 3


REASONS = {
    "waits": "not permitted when stream is capturing",
    "waits_backward": "not permitted when stream is capturing",
    "draws_on_host": "the network draws random numbers on the host",
}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("network", REASONS)
@in_cuda_process
def test_where_a_capture_fails_the_trial_goes_on_eagerly_and_says_so(
    network: str, precision: str, tmp_path: Path
) -> None:
    with captures_counted() as captured:
        trial, gpu = run(tmp_path, model=f"{HERE}:{network}", precision=precision)
    note = notes_of(trial)
    assert note.startswith("trained without a CUDA graph: ") and REASONS[network] in note
    assert note.count("CUDA graph") == 1 and not gpu.kernels["graph"] and "" not in captured


@in_cuda_process
def test_a_replay_of_other_bits_is_not_trusted(tmp_path: Path) -> None:
    (spec,) = devices.trials_of(
        "dense", "fp32", model=f"{HERE}:counts", recipe={"batch": BATCH, "epochs": 1}
    )
    with PretendedGpu() as gpu:
        trial = devices.run([spec], tmp_path, ["cuda"])
    assert "gives other bits in" in notes_of(trial) and gpu.kernels["graph"] == 1


@in_cuda_process
def test_without_memory_for_a_second_step_there_is_no_graph(tmp_path: Path) -> None:
    (spec,) = devices.trials_of("dense", "bf16", model=devices.SMALL, recipe={"batch": BATCH})
    with mock.patch.object(step_graph, "WARM_UP", 10**6), PretendedGpu() as roomy:
        devices.run([spec], tmp_path / "roomy", ["cuda"])
    with PretendedGpu() as gpu:
        trial = Trial(spec, devices.environment(tmp_path / "tight", "cuda"))
        torch.cuda.set_per_process_memory_fraction(1.1 * roomy.memory.peak / gpu.memory.total)
        trial.run()
    assert "no memory for a second step" in notes_of(trial) and not gpu.kernels["graph"]


@pytest.mark.parametrize(
    "recipe", [{"accumulate": 2}, {"mixup": 0.2}, {"schedule": "onecycle", "cycle_momentum": True}]
)
@in_cuda_process
def test_steps_that_no_graph_can_hold_are_eager(recipe: dict[str, Any], tmp_path: Path) -> None:
    trial, gpu = run(tmp_path, epochs=1, **recipe)
    assert not gpu.kernels["graph"] and not notes_of(trial)


@in_cuda_process
def test_it_can_be_switched_off(tmp_path: Path) -> None:
    (spec,) = devices.trials_of("dense", "bf16", model=devices.SMALL, recipe={"batch": BATCH})
    with PretendedGpu() as gpu:
        Trial(spec, Environment(store=str(tmp_path), device="cuda", cuda_graphs=False)).run()
        assert not gpu.kernels["graph"] and gpu.kernels["convolution"]


@in_cuda_process
def test_inside_an_epoch_the_host_waits_for_comparisons_alone(tmp_path: Path) -> None:
    (spec,) = devices.trials_of("dense", "bf16", model=devices.SMALL, recipe={"batch": BATCH})
    with PretendedGpu() as gpu:
        trial = Trial(spec, devices.environment(tmp_path, "cuda"))
        gpu.clear()
        trial.advance()
        places = {place.rpartition(" ")[2]: count for (_, place), count in gpu.waits.items()}
    assert places["find_differences"] == step_graph.COMPARED
    assert places["_capture"] == 1, "CUDA waits where a capture begins"
