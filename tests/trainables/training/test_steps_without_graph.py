"""Training steps that no CUDA graph can hold, on the pretended GPU: the trial goes on eagerly, with
a note where one was expected.

Covers: trainables/training/step_graph.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

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
from trainables.environment import Environment
from trainables.training import step_graph
from trainables.trial import Trial

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
        trial, gpu = run(tmp_path, model=f"{NETWORKS}:{network}", precision=precision)
    note = notes_of(trial)
    assert note.startswith("trained without a CUDA graph: ") and REASONS[network] in note
    assert note.count("CUDA graph") == 1 and not gpu.kernels["graph"] and "" not in captured


@in_cuda_process
def test_a_replay_of_other_bits_is_not_trusted(tmp_path: Path) -> None:
    (spec,) = devices.trials_of(
        "dense", "fp32", model=f"{NETWORKS}:counts", recipe={"batch": BATCH, "epochs": 1}
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
