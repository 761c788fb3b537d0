"""How long trials take: by a table of devices, by epochs timed on this machine, or by the trials
that are done."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from models.sizes import COSTS
from pruning.user_error import UserError
from sweeps.estimate.devices import name_in_table, training_rate
from sweeps.planning.model_check import Misfit, count_macs_and_parameters
from sweeps.planning.plan import Plan, PlannedTrial
from sweeps.planning.trial_status import TrialStatus
from sweeps.study_file.study import StudySpec
from sweeps.study_file.study_fields import Resources
from trainables.data.data_size import guess_data_size

# Seconds of framework work that an optimiser step takes, however small the network.
STEP = 0.004
# Seconds a trial takes to open, prune, measure and write; obc on a large network takes more.
TRIAL = 2.0


@cache
def network_cost(
    model: str, dataset: str, data_dir: str | None, image_size: int | None = None
) -> tuple[int, int]:
    """Multiply-accumulates of one image and parameters of a network; 0 and 0 where it does not take
    images of the shape that is guessed for a data set whose files are not here.

    Raises:
        UserError: see `model_check.count_macs_and_parameters`.
    """
    size, guessed = guess_data_size(dataset, data_dir, image_size)
    if known := COSTS.get((model, size.image, size.classes)):
        return known
    try:
        return count_macs_and_parameters(model, size.image, size.classes)
    except Misfit:
        if not guessed:
            raise
        return 0, 0


@dataclass(frozen=True)
class TimePerTrial:
    """Seconds that trials keep their part of a device busy, and what that rests on.

    known: by (data set, model, method), seconds an epoch, or a trial where the method trains
    none. factors: by (data set, model), how many times longer than expected trials take; "" stands
    for all others.
    """

    device: str
    basis: str
    resources: Resources
    known: dict[tuple[str, str, str], float] = field(default_factory=dict)
    factors: dict[tuple[str, str] | str, float] = field(default_factory=dict)
    data_dir: str | None = None

    def seconds(self, trials: Iterable[PlannedTrial]) -> float:
        """Seconds these trials take together, each on its part of the device."""
        return sum(self._seconds_of(trial) for trial in trials)

    def hours(self, trials: Iterable[PlannedTrial]) -> float:
        """Hours of one whole device, or of one core of a CPU, that these trials take."""
        return self.seconds(trials) * share_of_device(self.resources) / 3600

    def _seconds_of(self, trial: PlannedTrial) -> float:
        spec = trial.spec
        if seconds := self.known.get((spec.dataset, spec.model, spec.method)):
            return seconds * (trial.epochs or 1)
        factor = self.factors.get((spec.dataset, spec.model), self.factors.get("", 1.0))
        return factor * expected_seconds(trial, self.device, self.resources, self.data_dir)


def share_of_device(resources: Resources) -> float:
    """What part of a GPU, or how many cores of a CPU, a trial occupies."""
    return resources.gpus_per_trial or resources.cpus_per_trial


def expected_seconds(
    trial: PlannedTrial, device: str, resources: Resources, data_dir: str | None
) -> float:
    """Seconds a trial takes by the table of devices.

    Training takes six operations a multiply-accumulate: forward, and twice that backward.
    """
    image_size = trial.spec.image_size
    size, _ = guess_data_size(trial.spec.dataset, data_dir, image_size)
    macs, _ = network_cost(trial.spec.model, trial.spec.dataset, data_dir, image_size)
    images = size.training_images(hold_out=trial.spec.recipe.hold_out)
    speed = training_rate(device) * share_of_device(resources)
    return TRIAL + trial.epochs * (
        6 * macs * images / speed + STEP * images / trial.spec.recipe.batch
    )


def time_from_device_table(spec: StudySpec, device: str) -> TimePerTrial:
    """What the table of devices gives."""
    basis = "a table of devices"
    guessed = {
        setting.dataset
        for setting in spec.settings
        if guess_data_size(setting.dataset, spec.data_dir, setting.image_size)[1]
    }
    if guessed:
        basis += f", as if {', '.join(sorted(guessed))} were like CIFAR-10: its files are not here"
    if not all(
        network_cost(one.model, one.dataset, spec.data_dir, one.image_size)[0]
        for one in spec.settings
    ):
        basis += ", without the network's own work: it does not take such images"
    return TimePerTrial(device, basis, spec.resources, data_dir=spec.data_dir)


def time_from_done_trials(spec: StudySpec, plan: Plan, status: TrialStatus) -> TimePerTrial | None:
    """What the trials that are done took, on the device that did most of them; None while there are
    none."""
    devices: dict[str, float] = defaultdict(float)
    for spent in status.spent.values():
        devices[spent.device] += spent.seconds
    most = max(devices, key=lambda name: devices[name], default="")
    if not devices.get(most):
        return None
    device = name_in_table(most)
    seconds: dict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    ratios: dict[tuple[str, str] | str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    count = 0
    for key, spent in status.spent.items():
        if spent.device != most or not spent.seconds:
            continue
        planned, count = plan.by_key[key], count + 1
        trial = planned.spec
        _add(seconds[trial.dataset, trial.model, trial.method], spent.seconds, planned.epochs or 1)
        for setting in ((trial.dataset, trial.model), ""):
            expected = expected_seconds(planned, device, spec.resources, spec.data_dir)
            _add(ratios[setting], spent.seconds, expected)
    known = {setting: total / epochs for setting, (total, epochs) in seconds.items()}
    factors = {setting: total / expected for setting, (total, expected) in ratios.items()}
    basis = f"{count} trials that are done"
    return TimePerTrial(device, basis, spec.resources, known, factors, spec.data_dir)


def _add(pair: list[float], first: float, second: float) -> None:
    pair[0] += first
    pair[1] += second


def time_from_timed_epochs(spec: StudySpec, plan: Plan) -> TimePerTrial:
    """What this machine takes: some seconds of training of every network of the study are timed.

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
            "--time-epochs times this machine, which has no GPU: leave it out, "
            "a table of devices is used then"
        )
    factors: dict[tuple[str, str] | str, float] = {}
    ranks = spec.resources.ranks if gpu else 1
    one = spec.resources.model_copy(
        update={"gpus_per_trial": spec.resources.gpus_per_trial / ranks}
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(
            store=folder,
            data_dir=spec.data_dir,
            device="cuda" if gpu else "cpu",
            threads=max(1, int(spec.resources.cpus_per_trial)),
        )
        device = name_in_table(environment.hardware)
        for trial in plan.trials:
            setting = (trial.spec.dataset, trial.spec.model)
            if setting not in factors and trial.spec.method == "dense" and trial.epochs:
                seconds = TRIAL + trial.epochs * time_epoch(trial.spec, environment)
                expected = expected_seconds(trial, device, one, spec.data_dir)
                factors[setting] = seconds / expected
    basis = "epochs timed on this machine"
    if ranks > 1:
        basis += f", on one GPU, of which the {ranks} of a trial divide the work"
    return TimePerTrial(device, basis, spec.resources, factors=factors, data_dir=spec.data_dir)
