"""Training steps as CUDA graphs, on the pretended GPU: the numbers of eager steps, wherever a
trial is stopped and whatever changes within it. Where there can be no graph is in
`test_steps_without_graph.py`.

Covers: trainables/training/step_state.py.
"""

from __future__ import annotations

from itertools import count, cycle
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.contract import trials_on_two_devices as devices
from tests.pretended_gpu.cuda_process import in_cuda_process
from tests.pretended_gpu.instrument import PretendedGpu
from tests.trainables.training.step_graph_trials import (
    BATCH,
    NETWORKS,
    captures_counted,
    notes_of,
    run,
)
from trainables.data import loader_interface
from trainables.training import step_graph
from trainables.trial import Trial

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


@in_cuda_process
def test_trials_that_take_turns_in_one_process_leave_no_trace_in_each_other(tmp_path: Path) -> None:
    """What several trials in one worker would rest on, see decision 25: batch by batch, one of
    them with random numbers, one with a scaler of gradients, one whose masks change."""
    kinds = [("dense", "bf16", f"{NETWORKS}:dropping"), ("dense", "fp16", devices.SMALL)]
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


@in_cuda_process
def test_weights_are_cast_one_by_one_where_it_makes_a_difference(tmp_path: Path) -> None:
    with captures_counted() as captured:
        trial, gpu = run(tmp_path, model=f"{NETWORKS}:uses_a_weight_itself")
    assert captured == ["", ""] and not notes_of(trial) and gpu.kernels["graph"] > 3


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
