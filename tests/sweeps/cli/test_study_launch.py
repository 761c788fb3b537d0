"""How the trials of a launch are executed, as its study file says."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sweeps.cli.study_launch import RunOptions, launch_missing_trials, make_environment
from sweeps.planning.plan import make_plan
from sweeps.planning.trial_status import read_trial_status
from sweeps.study_file.study import StudySpec, build_study
from sweeps.study_file.study_fields import Resources
from trainables.environment import Environment
from trainables.storage.store import Store


def study(**resources: Any) -> StudySpec:
    raw = {"name": "s", "dataset": "digits", "model": "mlp", "methods": ["magnitude"]}
    small = {"sparsities": [0.5], "seeds": [0, 1], "resources": resources}
    return build_study({**raw, **small}, where="test")


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, {"device": "cpu", "threads": 1, "ranks": 1, "sharing_gpu": 1, "deterministic": True}),
        ({"gpus_per_trial": 0.3, "deterministic": False}, {"deterministic": False}),
        ({"gpus_per_trial": 0.3, "cuda_graphs": False}, {"sharing_gpu": 3, "cuda_graphs": False}),
        ({"gpus_per_trial": 2, "cpus_per_trial": 8}, {"device": "cuda", "ranks": 2, "threads": 4}),
    ],
)
def test_trials_are_executed_as_the_study_says(
    resources: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    environment = make_environment(study(**resources), Store.at(tmp_path))
    assert {name: getattr(environment, name) for name in expected} == expected


def test_a_launch_spreads_its_trials_over_the_gpus_of_the_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ray alone would put all four, a quarter each, on one GPU of the three."""
    given: list[tuple[Resources, Environment]] = []

    @contextmanager
    def connected(address: str | None) -> Iterator[bool]:
        yield False

    def run_plan(
        plan: Any, environment: Environment, resources: Resources, progress: Any, **_: Any
    ) -> str:
        given.append((resources, environment))
        return ""

    monkeypatch.setattr("sweeps.running.cluster.connected", connected)
    monkeypatch.setattr("sweeps.running.cluster.check_cluster", lambda *_, **__: None)
    monkeypatch.setattr("sweeps.running.gpu_spread.count_gpus", lambda: 3)
    monkeypatch.setattr("sweeps.running.run.run_plan", run_plan)
    spec, store = study(gpus_per_trial=0.25), Store.at(tmp_path)
    plan = make_plan(spec)
    status = read_trial_status(plan, store)
    assert len(status.missing) == 4
    launch_missing_trials(spec, plan, status, store, RunOptions(address="there"), [])
    ((resources, environment),) = given
    assert (resources.gpus_per_trial, environment.sharing_gpu) == (0.5, 2)
    assert "each trial takes 0.5 of a GPU, so that all GPUs are used" in capsys.readouterr().out
