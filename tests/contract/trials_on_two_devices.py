"""Trials on the CPU and on a pretended GPU, and whether they came to the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sweeps.planning.plan import make_plan
from sweeps.study_file.study import StudySpec
from tests.pretended_gpu.instrument import A100, H200, T4, Model
from trainables.environment import Environment
from trainables.storage import parquet_tables, schema
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

# Each GPU with the precision that `auto` picks there, or that a study of parity asks for.
GPUS: dict[str, tuple[Model, str]] = {
    "H200": (H200, "bf16"),
    "A100": (A100, "fp32"),
    "T4": (T4, "fp16"),
}
SEED = 3
SMALL = "tests.contract.small_networks:residual"
SMALL_KNOBS: dict[str, dict[str, Any]] = {
    "han_iterative": {"iterations": 2},
    "hrank": {"layer_epochs": 1, "images": 100},
    "lottery_ticket": {"levels": 2},
    "obc": {"max_columns": 150},
    "random_ticket": {"levels": 2},
    "reinitialised_ticket": {"levels": 2},
    "synflow": {"iterations": 5},
}
NOT_ALIKE = {*schema.CIRCUMSTANCES, "device"}


def trials_of(
    method: str, precision: str, *, model: str = "resnet8", recipe: dict[str, Any] | None = None
) -> list[TrialSpec]:
    """What has to run for the last trial of a method, in order: the dense training first where it
    starts from one."""
    study = StudySpec.model_validate(
        {
            "name": "devices",
            "dataset": "digits",
            "model": model,
            "recipe": {
                "epochs": 2,
                "batch": 700,
                "lr": 0.05,
                "precision": precision,
                "compile": False,
                **(recipe or {}),
            },
            "retrain": {"epochs": 1},
            "methods": [{method: SMALL_KNOBS.get(method, {})}],
            "sparsities": [0.8],
            "seeds": [SEED],
        }
    )
    plan = make_plan(study)
    last = next(t for t in reversed(plan.trials) if t.spec.method == method)
    return [*(plan.by_key[key].spec for key in last.parents), last.spec]


def run(
    specs: Sequence[TrialSpec],
    folder: Path,
    devices: Sequence[str],
    *,
    moved: Callable[[Trial], None] | None = None,
) -> Trial:
    """Run trials to their end, the last one on the given devices in turn.

    With one device it is never stopped; with several it is saved after every step and batch, and
    opened again on the next.

    Args:
        moved: called with each trial that was opened from a checkpoint.
    """
    *before, spec = specs
    for parent in before:
        if not (folder / f"rows/{parent.key}.parquet").exists():
            Trial(parent, environment(folder, devices[0])).run()
    turn = 0
    trial = Trial(spec, environment(folder, devices[0]))
    while not trial.done:
        trial.advance(lambda: len(devices) > 1)
        if len(devices) > 1 and not trial.done:
            trial.save()
            turn += 1
            trial = Trial(spec, environment(folder, devices[turn % len(devices)]))
            if moved:
                moved(trial)
    return trial


def environment(folder: Path, device: str) -> Environment:
    """A study directory, and checkpoints only where somebody asks for them."""
    return Environment(store=str(folder), device=device, checkpoint_seconds=1e9)


def differences(first: Trial, second: Trial) -> list[str]:
    """In words what two runs of a trial do not have in common: values of their tables, and
    tensors of their networks."""
    found = []
    for table in ("rows", "curves", "layers"):
        one, two = (_read(trial, table) for trial in (first, second))
        if len(one) != len(two):
            found.append(f"{len(one)} and {len(two)} {table}")
        for index, (left, right) in enumerate(zip(one, two, strict=False)):
            found += [
                f"{table}[{index}].{column}: {left[column]!r} and {right[column]!r}"
                for column in left
                if column not in NOT_ALIKE and left[column] != right[column]
            ]
    weights = [trial.runner.network.copy_weights() for trial in (first, second)]
    return found + [
        name for name, value in weights[0].items() if not _equal(value, weights[1][name])
    ]


def _read(trial: Trial, table: str) -> list[dict[str, Any]]:
    content = trial.store.read(f"{table}/{trial.spec.key}.parquet")
    return parquet_tables.decode_table(table, content).to_pylist()


def _equal(left: Tensor, right: Tensor) -> bool:
    return left.shape == right.shape and torch.equal(left, right)
