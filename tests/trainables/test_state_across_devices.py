"""Trials on a pretended GPU: what a checkpoint holds goes on where it is read, and steps that a
gradient scaler skips leave nothing behind.

Covers: trainables/network.py, trainables/prune_inputs.py, trainables/training/epoch.py.
"""

from math import isclose
from pathlib import Path
from typing import Any

import pytest
import torch

from pruning import registry
from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import H200, T4, PretendedGpu
from trainables.environment import Environment
from trainables.storage import schema
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec, dense_spec

RECIPE = Recipe(epochs=1, batch=300, lr=0.05, precision="fp32")
SMALL = "tests.contract.small_networks:residual"
SPEC = TrialSpec(dataset="digits", model=SMALL, method="dense", seed=1, recipe=RECIPE)

# A method that keeps a tensor from its first prune on, and multiplies with it in its second.
REMEMBERS = '''
"""Keeps the first weights."""

from pruning.method import Card, Method, PruneInput
from pruning.phases import Measure, Prune, Train


class Remembers(Method):
    """By how far the weights have gone since the first prune."""

    card = Card(title="Remembers", paper="none", summary="keeps the first weights",
                kind="unstructured", cost="1 training", when="never", formula="score = |w w0|")
    starts_from = "init"

    def phases(self, sparsities, context):
        (sparsity,) = sparsities
        train = Train("train", context.train_epochs)
        return [Prune(0.0, level=0), train, Prune(sparsity, level=1), Measure(sparsity)]

    def prune(self, inputs: PruneInput):
        from pruning.masks import keep_best

        if not inputs.memory:
            inputs.memory.update({name: weight.clone() for name, weight in inputs.weights.items()})
        scores = {name: (weight * inputs.memory[name]).abs()
                  for name, weight in inputs.weights.items()}
        return keep_best(scores, inputs.sparsity, masks=inputs.masks)
'''


def open_on(device: str, spec: TrialSpec, folder: Path) -> Trial:
    environment = Environment(store=str(folder), device=device, checkpoint_seconds=60)
    return Trial(spec, environment)


def results(trial: Trial) -> list[dict[str, Any]]:
    """The rows and the curves of a trial, without what may differ between two runs."""
    left_out = {*schema.CIRCUMSTANCES, "device"}
    rows = [*trial.records.rows, *trial.records.curves]
    return [{k: v for k, v in row.items() if k not in left_out} for row in rows]


def run_across(spec: TrialSpec, folder: Path, devices: tuple[str, ...]) -> Trial:
    """Run a trial that is saved and opened again after every batch, on one device after the
    other in turn."""
    trial, turn = open_on(devices[0], spec, folder), 0
    while not trial.done:
        trial.advance(lambda: True)
        trial.save()
        if not trial.done:
            turn += 1
            trial = open_on(devices[turn % len(devices)], spec, folder)
    assert turn >= 5
    return trial


def assert_equal_results(one: Trial, other: Trial) -> None:
    """All is equal, the digest of weights and masks among it; only sums of losses are rounded in
    another order."""
    for expected, row in zip(results(one), results(other), strict=True):
        differ = {
            name: (expected[name], value)
            for name, value in row.items()
            if value != expected[name]
            and not ("loss" in name and isclose(value, expected[name], rel_tol=1e-6))
        }
        assert not differ, f"{differ}"


OPTIONS: dict[str, Any] = {"accumulate": 3, "clip": 0.5, "ema": 0.75}


@pytest.mark.parametrize(
    ("method", "options"),
    [("dense", {}), ("rigl", {}), ("gmp", OPTIONS), ("l1_filter", OPTIONS)],
)
@in_cuda_process
def test_a_trial_that_changes_its_device_in_mid_epoch_has_the_rows_of_one_that_does_not(
    tmp_path: Path, method: str, options: dict[str, Any]
) -> None:
    recipe = Recipe.model_validate({**RECIPE.model_dump(), **options})
    more: dict[str, Any] = {"method": method, "recipe": recipe}
    if method != "dense":
        more["sparsities"] = (0.5,)
    spec = SPEC.model_copy(update=more)
    with PretendedGpu(H200):
        for name in ("still", "moved"):
            if method == "l1_filter":
                open_on("cpu", dense_spec(spec, (0,)), tmp_path / name).run()
        still = open_on("cpu", spec, tmp_path / "still")
        still.run()
        moved = run_across(spec, tmp_path / "moved", ("cpu", "cuda"))
        assert_equal_results(still, moved)


@in_cuda_process
def test_no_batch_of_an_accumulating_clipping_and_averaging_training_waits_for_the_device(
    tmp_path: Path,
) -> None:
    recipe = Recipe.model_validate({**RECIPE.model_dump(), **OPTIONS, "batch": 100})
    with PretendedGpu(H200) as gpu:
        trial = open_on("cuda", SPEC.model_copy(update={"recipe": recipe}), tmp_path)
        trial.advance(lambda: True)  # the first batch, with all that begins
        with gpu.no_waits():
            trial.advance(lambda: trial.runner.batches == 9)
        assert trial.runner.batches == 9 and trial.runner.network.average


@in_cuda_process
def test_numbers_drawn_on_a_gpu_follow_from_the_state_that_a_cpu_saved() -> None:
    from trainables.training.epoch import _random_state, _set_random_state

    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    with PretendedGpu(H200):
        torch.manual_seed(5)
        saved, drawn = _random_state(cpu), []
        for other in (1, 2):
            torch.manual_seed(other)
            _set_random_state(saved, cuda)
            drawn.append((torch.rand(3, device=cuda).cpu(), torch.rand(3)))
        assert torch.equal(drawn[0][0], drawn[1][0]) and torch.equal(drawn[0][1], drawn[1][1])
        torch.manual_seed(5)
        assert torch.equal(torch.rand(3), drawn[0][1])
        saved = _random_state(cuda)
        expected = torch.rand(3)
        _set_random_state(saved, cpu)
        assert torch.equal(torch.rand(3), expected), "a CPU leaves out the state of the GPU"


@in_cuda_process
def test_what_a_method_remembers_is_on_the_device_where_the_trial_goes_on(tmp_path: Path) -> None:
    (tmp_path / "remembers.py").write_text(REMEMBERS)
    registry.add_user_files(str(tmp_path / "remembers.py"))
    changes = {"model": "mlp", "method": "remembers", "sparsities": (0.5,)}
    spec = SPEC.model_copy(update=changes)
    try:
        with PretendedGpu(H200):
            still = open_on("cpu", spec, tmp_path / "still")
            still.run()
            (expected,) = still.records.rows
            for name, devices in {"cuda": ("cuda",), "both": ("cpu", "cuda")}.items():
                (row,) = run_across(spec, tmp_path / name, devices).records.rows
                assert row["digest"] == expected["digest"], "weights and masks, bit for bit"
    finally:
        registry._USER_METHODS.clear()


def train_with_overflow(spec: TrialSpec, folder: Path, device: str) -> Trial:
    """Run a trial whose first optimiser steps overflow at the scale that a scaler begins with."""
    trial = open_on(device, spec, folder)
    begin = trial.runner.network.renew_optimizer

    def begin_with_a_high_scale(recipe: Recipe) -> torch.optim.Optimizer:
        optimizer = begin(recipe)
        trial.runner.network.scaler = torch.amp.GradScaler(device, init_scale=2.0**26)
        return optimizer

    trial.runner.network.renew_optimizer = begin_with_a_high_scale  # type: ignore[method-assign]
    trial.run()
    return trial


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        ("sgd", {"lr": 0.1}),
        ("adam", {}),
        ("adamw", {}),
        ("sgd", {"lr": 0.1, "clip": 0.5, "accumulate": 2, "ema": 0.5}),
    ],
)
@in_cuda_process
def test_a_training_whose_first_steps_overflow_in_fp16_reads_no_memory_that_nobody_wrote(
    tmp_path: Path, optimizer: str, options: dict[str, Any]
) -> None:
    """On the pretended GPU such memory holds NaN; the version before then had a loss of NaN."""
    fields = {"precision": "fp16", "optimizer": optimizer, "lr": 0.002, "batch": 50, **options}
    recipe = Recipe.model_validate({**RECIPE.model_dump(), **fields})
    spec = SPEC.model_copy(update={"model": "mlp", "recipe": recipe})
    with PretendedGpu(T4):
        trial = train_with_overflow(spec, tmp_path, "cuda")
        scale = trial.runner.network.scaler.get_scale()
        assert scale < 2.0**26, f"no step overflowed: {scale}"
        train, validation = (row["loss"] for row in trial.records.curves)
        assert validation < train, f"{train} {validation}: it has learnt"
        for name, value in trial.runner.network.copy_weights().items():
            assert bool(torch.isfinite(value).all()), name


def test_every_training_begins_with_the_first_scale() -> None:
    from trainables.network import Network

    recipe = RECIPE.model_copy(update={"precision": "fp16"})
    spec = SPEC.model_copy(update={"recipe": recipe})
    network = Network(spec, (1, 8, 8), 10, torch.device("cpu"))
    network.renew_optimizer(recipe)
    network.scaler.scale(torch.ones(()))
    network.scaler.update(2.0**20)  # as a long training may have raised it
    state = network.state(midway=True)
    assert network.scaler.get_scale() == 2.0**20
    network.restore(state, recipe)
    assert network.scaler.get_scale() == 2.0**20, "in the middle of a training it stays"
    network.renew_optimizer(recipe)
    assert network.scaler.get_scale() == 2.0**16
