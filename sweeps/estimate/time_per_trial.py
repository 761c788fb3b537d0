"""How long trials take: by a table of devices, by a calibration on this machine, or by the trials
that are done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from models.sizes import COSTS
from pruning.user_error import UserError
from sweeps.estimate.devices import known_as, rate
from sweeps.planning.model_check import Misfit, cost

if TYPE_CHECKING:
    from sweeps.planning.plan import Plan, Planned
    from sweeps.planning.trial_status import Ledger
    from sweeps.study_file.study import Resources, StudySpec

# Training images with and without a held-out validation split; image shape; classes.
SIZES = {
    "digits": (1295, 1438, (1, 8, 8), 10),
    "cifar10": (45_000, 50_000, (3, 32, 32), 10),
    "cifar100": (45_000, 50_000, (3, 32, 32), 100),
    "mnist": (54_000, 60_000, (1, 28, 28), 10),
    "fashion_mnist": (54_000, 60_000, (1, 28, 28), 10),
}
ANY = (45_000, 50_000, (3, 32, 32), 10)  # another data set is taken for one of CIFAR-10's size
STEP = 0.004  # seconds of framework work an optimiser step takes however small the network
TRIAL = 2.0  # seconds a trial takes to open, prune, measure and write; obc on a large network takes more


@cache
def network_cost(model: str, dataset: str) -> tuple[int, int]:
    """Multiply-accumulates of one image and parameters of a network; 0 and 0 where it does not take
    images of the shape that we guess for a data set of the user's own.

    Raises:
        UserError: see `networks.cost`.
    """
    _, _, image, classes = SIZES.get(dataset, ANY)
    if known := COSTS.get((model, image, classes)):
        return known
    try:
        return cost(model, image, classes)
    except Misfit:
        if dataset in SIZES:
            raise
        return 0, 0


@dataclass(frozen=True)
class Pace:
    """Seconds that trials keep their part of a device busy, and what that rests on.

    measured: by (data set, model, method), seconds an epoch, or a trial where the method trains
    none. factors: by (data set, model), how many times longer than expected trials take; "" stands
    for all others.
    """

    device: str
    basis: str
    resources: Resources
    measured: dict[tuple[str, str, str], float] = field(default_factory=dict)
    factors: dict[tuple[str, str] | str, float] = field(default_factory=dict)

    def seconds(self, trials: Iterable[Planned]) -> float:
        """Seconds these trials take together, each on its own part of the device."""
        return sum(self._one(trial) for trial in trials)

    def hours(self, trials: Iterable[Planned]) -> float:
        """Hours of one whole device, or of one core of a CPU, that these trials take."""
        return self.seconds(trials) * share(self.resources) / 3600

    def _one(self, trial: Planned) -> float:
        spec = trial.spec
        if known := self.measured.get((spec.dataset, spec.model, spec.method)):
            return known * (trial.epochs or 1)
        factor = self.factors.get((spec.dataset, spec.model), self.factors.get("", 1.0))
        return factor * expected(trial, self.device, self.resources)


def share(resources: Resources) -> float:
    """What part of a GPU, or how many cores of a CPU, a trial occupies."""
    return resources.gpus_per_trial or resources.cpus_per_trial


def expected(trial: Planned, device: str, resources: Resources) -> float:
    """Seconds a trial takes by the table of devices.

    Training takes six operations a multiply-accumulate: forward, and twice that backward.
    """
    held_out, joined, _, _ = SIZES.get(trial.spec.dataset, ANY)
    macs, _ = network_cost(trial.spec.model, trial.spec.dataset)
    images = held_out if trial.spec.recipe.hold_out else joined
    speed = rate(device) * share(resources)
    return TRIAL + trial.epochs * (
        6 * macs * images / speed + STEP * images / trial.spec.recipe.batch
    )


def from_table(spec: StudySpec, device: str) -> Pace:
    """The pace that the table of devices gives."""
    guessed = any(not network_cost(one.model, one.dataset)[0] for one in spec.settings)
    basis = "a table of devices"
    if guessed:
        basis += ", without the network's own work: it does not take images of 3x32x32"
    return Pace(device, basis, spec.resources)


def from_done(spec: StudySpec, plan: Plan, state: Ledger) -> Pace | None:
    """The pace of the trials that are done, on the device that did most of them; None while there
    are none."""
    devices: dict[str, float] = defaultdict(float)
    for spent in state.spent.values():
        devices[spent.device] += spent.seconds
    most = max(devices, key=lambda name: devices[name], default="")
    if not devices.get(most):
        return None
    device = known_as(most)
    seconds: dict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    ratios: dict[tuple[str, str] | str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    count = 0
    for key, spent in state.spent.items():
        if spent.device != most or not spent.seconds:
            continue
        trial, count = plan.by_key[key], count + 1
        one = trial.spec
        _add(seconds[one.dataset, one.model, one.method], spent.seconds, trial.epochs or 1)
        for place in ((one.dataset, one.model), ""):
            _add(ratios[place], spent.seconds, expected(trial, device, spec.resources))
    measured = {place: total / epochs for place, (total, epochs) in seconds.items()}
    factors = {place: total / wanted for place, (total, wanted) in ratios.items()}
    return Pace(device, f"{count} trials that are done", spec.resources, measured, factors)


def _add(pair: list[float], first: float, second: float) -> None:
    pair[0] += first
    pair[1] += second


def from_calibration(spec: StudySpec, plan: Plan) -> Pace:
    """The pace of this machine: some seconds of training of every network of the study.

    Raises:
        UserError: the study wants GPUs and there is none here.
    """
    import tempfile

    import torch

    from trainables.environment import Environment
    from trainables.timing.epoch_time import time_epoch

    gpu = bool(spec.resources.gpus_per_trial)
    if gpu and not torch.cuda.is_available():
        raise UserError(
            "--calibrate times this machine, which has no GPU: leave it out, a table of devices is used then"
        )
    factors: dict[tuple[str, str] | str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(
            store=folder,
            data_dir=spec.data_dir,
            device="cuda" if gpu else "cpu",
            threads=max(1, int(spec.resources.cpus_per_trial)),
        )
        device = known_as(environment.hardware)
        for trial in plan.trials:
            place = (trial.spec.dataset, trial.spec.model)
            if place not in factors and trial.spec.method == "dense" and trial.epochs:
                seconds = time_epoch(trial.spec, environment)
                factors[place] = (TRIAL + trial.epochs * seconds) / expected(
                    trial, device, spec.resources
                )
    return Pace(device, "a calibration on this machine", spec.resources, factors=factors)
