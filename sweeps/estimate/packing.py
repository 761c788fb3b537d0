"""What a trial should take of a machine, timed: how many trials at once train most images."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pruning.user_error import UserError
from sweeps.planning.plan import Plan
from sweeps.study_file.study import StudySpec
from sweeps.study_file.study_fields import Resources

if TYPE_CHECKING:
    from trainables.timing.concurrent_trials import TrainingSpeed
    from trainables.trial_spec import TrialSpec

TRIALS = (1, 2, 4, 8)  # on a device at once
WORTH = 1.03  # more trials at once take more memory: they must train so much more


@dataclass(frozen=True)
class Packing:
    """So many trials at once on a GPU, or on all cores of a CPU, each with these resources."""

    trials: int
    resources: Resources

    @property
    def flags(self) -> str:
        """The options that ask for it."""
        gpus = (
            f" --gpus-per-trial {self.resources.gpus_per_trial:g}"
            if self.resources.gpus_per_trial
            else ""
        )
        return f"--cpus-per-trial {self.resources.cpus_per_trial:g}{gpus}"


def count_cores() -> int:
    """Cores that trials can have of this machine: those this process may use, as far as Ray shares
    them out.

    Ray heeds the quota of a container, which those cores do not show, but not that a process may
    use only some of them.
    """
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        usable = len(os.sched_getaffinity(0))
    else:
        usable = os.cpu_count() or 1
    try:
        from ray._private.utils import get_num_cpus
    except ModuleNotFoundError:  # as where only benchmarks run
        return usable
    return min(usable, int(get_num_cpus(override_docker_cpu_warning=True)))


def possible_packings(*, cores: int, gpus: int) -> list[Packing]:
    """What there is to choose from: 1, 2, 4 and 8 trials at once, with the cores shared out among
    them."""
    cores_around = cores // gpus if gpus else cores
    return [
        Packing(
            trials,
            Resources(
                cpus_per_trial=max(1, cores_around // trials),
                gpus_per_trial=round(1 / trials, 4) if gpus else 0,
            ),
        )
        for trials in TRIALS
        if trials <= max(1, cores_around)
    ]


def pick_packing(timed: list[tuple[Packing, TrainingSpeed]]) -> Packing | None:
    """The fewest trials at once that no larger number beats by 3 %; None where none ran."""
    for index, (packing, speed) in enumerate(timed):
        fastest_later = max(
            (later.images_per_second for _, later in timed[index + 1 :]), default=0.0
        )
        if speed.images_per_second and WORTH * speed.images_per_second >= fastest_later:
            return packing
    return None


def tune_packing(
    spec: StudySpec, plan: Plan, *, say: Callable[[str], None], seconds: float = 5.0
) -> Packing:
    """Time the study's longest dense training on this machine, alone and with others, and pick.

    Raises:
        UserError: the study wants GPUs and there is none here; its trials have several ranks; it
            trains nothing; or not even one trial ran.
    """
    import torch

    if spec.resources.ranks > 1:
        raise UserError(
            "--tune-packing times how many trials share a device, but each of this study has "
            f"{spec.resources.ranks} ranks: leave it out"
        )
    wants_gpu = bool(spec.resources.gpus_per_trial)
    gpus = torch.cuda.device_count() if wants_gpu else 0
    if wants_gpu and not gpus:
        raise UserError(
            "--tune-packing times this machine, which has no GPU: leave it out or give "
            "--gpus-per-trial 0"
        )
    dense = [trial for trial in plan.trials if trial.spec.method == "dense" and trial.epochs]
    if not dense:
        raise UserError("--tune-packing times the dense training, but this study trains no epoch")
    longest = max(dense, key=lambda trial: trial.epochs).spec
    say(f"trials at once of {longest.model} on {longest.dataset}, {seconds:g} s each:")
    if gpus > 1:
        say(f"  on each of {gpus} GPUs")
    timed: list[tuple[Packing, TrainingSpeed]] = []
    for packing in possible_packings(cores=count_cores(), gpus=gpus):
        speed = _time_packing(longest, packing, spec.data_dir, max(1, gpus), seconds)
        timed.append((packing, speed))
        say(describe_speed(packing, speed))
        if speed.error:
            break  # more of them will not fit either
    chosen = pick_packing(timed)
    if chosen is None:
        raise UserError(f"not even one trial ran: {timed[0][1].error}")
    say(f"picked: {chosen.flags}")
    return chosen


def _time_packing(
    trial: TrialSpec, packing: Packing, data_dir: str | None, gpus: int, seconds: float
) -> TrainingSpeed:
    from trainables.environment import Environment
    from trainables.timing.concurrent_trials import time_concurrent_trials

    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(
            store=folder,
            data_dir=data_dir,
            device="cuda" if packing.resources.gpus_per_trial else "cpu",
            threads=int(packing.resources.cpus_per_trial),
        )
        return time_concurrent_trials(
            trial, environment, packing.trials, gpus=gpus, seconds=seconds
        )


def describe_speed(packing: Packing, speed: TrainingSpeed) -> str:
    """A line of the table."""
    what = f"  {packing.trials} with {packing.resources.cpus_per_trial:g} threads each: "
    return what + (speed.error or f"{speed.images_per_second:,.0f} images/s together")
