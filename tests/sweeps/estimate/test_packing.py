"""Trials at once on a device: what is tried, what is picked, and real ones side by side."""

import os
import sys
from typing import Any

import pytest

from pruning.user_error import UserError
from sweeps.estimate import packing
from sweeps.estimate.packing import pick_packing, possible_packings, tune_packing
from sweeps.planning.plan import make_plan
from sweeps.study_file.study import StudySpec, build_study
from trainables.environment import Environment
from trainables.timing.concurrent_trials import TrainingSpeed
from trainables.trial_spec import TrialSpec


def spec(**fields: Any) -> StudySpec:
    raw = {
        "name": "s",
        "dataset": "digits",
        "model": "mlp",
        "methods": ["magnitude"],
        "sparsities": [0.5],
        "seeds": [0],
    }
    return build_study({**raw, "recipe": {"epochs": 3}, **fields}, where="test")


@pytest.mark.parametrize(
    ("cores", "gpus", "flags"),
    [
        (2, 0, ["--cpus-per-trial 2", "--cpus-per-trial 1"]),
        (1, 0, ["--cpus-per-trial 1"]),
        (6, 0, ["--cpus-per-trial 6", "--cpus-per-trial 3", "--cpus-per-trial 1"]),
        (
            16,
            2,
            [
                "--cpus-per-trial 8 --gpus-per-trial 1",
                "--cpus-per-trial 4 --gpus-per-trial 0.5",
                "--cpus-per-trial 2 --gpus-per-trial 0.25",
                "--cpus-per-trial 1 --gpus-per-trial 0.125",
            ],
        ),
        (1, 1, ["--cpus-per-trial 1 --gpus-per-trial 1"]),
    ],
)
def test_cores_are_shared_out_among_the_trials(cores: int, gpus: int, flags: list[str]) -> None:
    assert [one.flags for one in possible_packings(cores=cores, gpus=gpus)] == flags


@pytest.mark.parametrize(
    ("rates", "trials"),
    [
        ((100, 150, 151, 140), 2),  # 4 at once are not worth their memory
        ((100, 90, 80, 70), 1),
        ((100, 150, 200, 300), 8),
        ((0, 0, 0, 0), None),
        ((100, 102, 104, 90), 2),  # 4 at once train 2 % more
    ],
)
def test_the_fewest_trials_that_none_beats_are_picked(
    rates: tuple[float, ...], trials: int | None
) -> None:
    found = [
        (one, TrainingSpeed(rate))
        for one, rate in zip(possible_packings(cores=8, gpus=0), rates, strict=True)
    ]
    chosen = pick_packing(found)
    assert (chosen and chosen.trials) == trials


@pytest.mark.parametrize(
    ("usable", "ray", "cores"), [(8, 8, 8), (8, 2, 2), (2, 8, 2), (None, 4, 4)]
)
def test_no_more_cores_are_shared_out_than_ray_has(
    usable: int | None, ray: float, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a container, Ray has its quota; None: macOS knows no cores that a process may use."""
    monkeypatch.setattr("ray._private.utils.get_num_cpus", lambda **given: ray)
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    if usable is None:
        monkeypatch.delattr("os.sched_getaffinity")
    else:
        monkeypatch.setattr("os.sched_getaffinity", lambda pid: range(usable))
    assert packing.count_cores() == cores


def test_tuning_stops_where_trials_no_longer_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[int, int]] = []

    def fake(
        one: TrialSpec, environment: Environment, trials: int, *, gpus: int, seconds: float
    ) -> TrainingSpeed:
        tried.append((trials, environment.threads))
        return (
            TrainingSpeed(0, "OutOfMemoryError: no")
            if trials == 4
            else TrainingSpeed(100.0 * trials)
        )

    monkeypatch.setattr("trainables.timing.concurrent_trials.time_concurrent_trials", fake)
    monkeypatch.setattr(packing, "count_cores", lambda: 8)
    said: list[str] = []
    study = spec()
    assert tune_packing(study, make_plan(study), say=said.append).flags == "--cpus-per-trial 4"
    assert tried == [(1, 8), (2, 4), (4, 2)]
    assert said == [
        "trials at once of mlp on digits, 5 s each:",
        "  1 with 8 threads each: 100 images/s together",
        "  2 with 4 threads each: 200 images/s together",
        "  4 with 2 threads each: OutOfMemoryError: no",
        "picked: --cpus-per-trial 4",
    ]


def test_what_cannot_be_timed_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "trainables.timing.concurrent_trials.time_concurrent_trials",
        lambda *given, **named: TrainingSpeed(0, "ValueError: broken"),
    )
    study = spec()
    with pytest.raises(UserError, match="not even one trial ran: ValueError: broken"):
        tune_packing(study, make_plan(study), say=lambda line: None)
    idle = spec(recipe={"epochs": 0})
    with pytest.raises(UserError, match="trains no epoch"):
        tune_packing(idle, make_plan(idle), say=lambda line: None)
    monkeypatch.setattr(packing, "possible_packings", lambda **given: [])
    wants_gpu = spec(resources={"gpus_per_trial": 1})
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(UserError, match="has no GPU"):
        tune_packing(wants_gpu, make_plan(wants_gpu), say=lambda line: None)


def test_all_gpus_are_timed_by_the_training_of_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[tuple[bool | str, int, int]] = []

    def fake(
        one: TrialSpec, environment: Environment, trials: int, *, gpus: int, seconds: float
    ) -> TrainingSpeed:
        timed.append((one.recipe.compile, trials, gpus))
        return TrainingSpeed(100.0 * trials)

    monkeypatch.setattr("trainables.timing.concurrent_trials.time_concurrent_trials", fake)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.setattr(packing, "count_cores", lambda: 8)
    said: list[str] = []
    study = spec(resources={"gpus_per_trial": 1}, recipe={"epochs": 3, "compile": True})
    tune_packing(study, make_plan(study), say=said.append)
    assert timed == [(True, 1, 4), (True, 2, 4)]
    assert said[1] == "  on each of 4 GPUs"


def test_without_ray_the_cores_of_this_process_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray._private.utils", None)
    assert packing.count_cores() == len(os.sched_getaffinity(0))
