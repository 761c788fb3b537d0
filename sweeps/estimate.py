"""What a plan will cost, before it runs: epochs, device hours, disk. Rough by nature, and says what it rests on."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from math import inf

from sweeps.ledger import Ledger
from sweeps.networks import Misfit, cost
from sweeps.plan import Plan
from sweeps.progress import duration
from sweeps.study import StudySpec
from trainables.store import Store

# Training images with and without a held-out validation split; image shape; classes.
SIZES = {
    "digits": (1295, 1438, (1, 8, 8), 10),
    "cifar10": (45_000, 50_000, (3, 32, 32), 10),
    "cifar100": (45_000, 50_000, (3, 32, 32), 100),
    "mnist": (54_000, 60_000, (1, 28, 28), 10),
    "fashion_mnist": (54_000, 60_000, (1, 28, 28), 10),
}
ANY = (45_000, 50_000, (3, 32, 32), 10)  # another data set is taken for one of CIFAR-10's size

# Floating-point operations a second in training, eager PyTorch: ResNet-18 measured at 105 images/s and core on a CPU
# with AMX in bf16 and 35 in fp32; a GPU as a careful script reaches on an A100 (about 12,000 images/s).
CPU_CORE, GPU = 2.0e11, 4.0e13
STEP = 0.004  # seconds of framework work an optimiser step takes however small the network
SAMPLE = 60  # finished trials read to learn the pace


@dataclass(frozen=True)
class Pace:
    """Seconds one epoch takes on one device slot, and what that rests on."""

    seconds: float
    basis: str


@cache
def _cost(model: str, dataset: str) -> tuple[int, int]:
    """Multiply-accumulates of one image and parameters of a network; 0 and 0 where it does not take images of the
    shape that we guess for a data set of the user's own.

    Raises:
        Mistake: see `networks.cost`.
    """
    _, _, image, classes = SIZES.get(dataset, ANY)
    try:
        return cost(model, image, classes)
    except Misfit:
        if dataset in SIZES:
            raise
        return 0, 0


def expected_pace(spec: StudySpec, plan: Plan, keys: Iterable[str], *, gpu: bool) -> Pace:
    """Mean pace of these trials from their networks' multiply-accumulates and a table of devices.

    Training takes six operations a multiply-accumulate: forward, and twice that backward.
    """
    rate = GPU * (spec.resources.gpus_per_trial or 1) if gpu else CPU_CORE * spec.resources.cpus_per_trial
    seconds, epochs, basis = 0.0, 0, "a table of devices"
    for trial in (plan.by_key[key] for key in keys):
        held_out, joined, _, _ = SIZES.get(trial.spec.dataset, ANY)
        macs, _ = _cost(trial.spec.model, trial.spec.dataset)
        if not macs:
            basis = "a table of devices, without the network's own work: it does not take images of 3x32x32"
        images = held_out if trial.spec.recipe.hold_out else joined
        epoch = 6 * macs * images / rate + STEP * images / trial.spec.recipe.batch
        seconds, epochs = seconds + trial.epochs * epoch, epochs + trial.epochs
    return Pace(seconds / epochs if epochs else 0.0, basis)


def observed_pace(plan: Plan, state: Ledger, store: Store) -> Pace | None:
    """Pace of the trials that are done, or None while there are none."""
    from trainables import record

    seconds, epochs = 0.0, 0
    for key in sorted(state.done)[:: max(1, len(state.done) // SAMPLE)]:
        try:
            rows = record.decode("rows", store.read(f"rows/{key}.parquet")).to_pylist()
        except Exception:  # a damaged file fails in as many ways as Parquet has; the pace is that of the others
            continue
        if rows:
            seconds, epochs = seconds + (rows[-1]["train_seconds"] or 0.0), epochs + (rows[-1]["epochs"] or 0)
    return Pace(seconds / epochs, "the trials that are done") if epochs and 0 < seconds < inf else None


def device_hours(spec: StudySpec, plan: Plan, keys: Iterable[str], *, gpu: bool) -> float:
    """Hours these trials would keep one GPU, or the cores of one trial, busy."""
    wanted = list(keys)
    return plan.epochs(wanted) * expected_pace(spec, plan, wanted, gpu=gpu).seconds / 3600


def disk_bytes(plan: Plan) -> float:
    """Bytes the study directory will hold: weights of the dense trainings; rows and curves are small beside them."""
    total = 30_000.0 * len(plan.trials)
    for trial in plan.trials:
        if trial.spec.method == "dense":
            stored = len({0, trial.spec.recipe.epochs, *trial.spec.rewind_epochs})
            total += 4 * stored * _cost(trial.spec.model, trial.spec.dataset)[1]
    return total


def describe_plan(spec: StudySpec, plan: Plan, state: Ledger, store: Store) -> str:
    """The plan as lines: per method the trials, those done, the epochs to train and the device hours."""
    gpu = bool(spec.resources.gpus_per_trial)
    pace = observed_pace(plan, state, store) or expected_pace(spec, plan, state.missing or plan.by_key, gpu=gpu)
    device = "GPU hours" if gpu else f"hours of {spec.resources.cpus_per_trial:g} CPU"
    share = spec.resources.gpus_per_trial if gpu else 1
    lines = [
        f"study {spec.name}: {', '.join(f'{s.model} on {s.dataset}' for s in spec.settings)}; {len(spec.seeds)} seeds; "
        f"directory {store.place()}",
        f"{len(plan.trials)} trials, {len(state.done)} done, {len(state.missing)} missing, "
        f"{len(state.failed)} failed, {len(state.blocked)} not run because of those",
        "",
        f"{'method':<18}{'trials':>8}{'done':>8}{'missing':>9}{'epochs':>9}  {device}",
    ]
    missing = set(state.missing)
    total_epochs = 0
    for method, trials in plan.by_method().items():
        keys = [trial.key for trial in trials]
        epochs = plan.epochs(key for key in keys if key in missing)
        total_epochs += epochs
        lines.append(
            f"{method:<18}{len(keys):>8}{sum(key in state.done for key in keys):>8}"
            f"{sum(key in missing for key in keys):>9}{epochs:>9}  {_hours(epochs * pace.seconds * share)}"
        )
    lines += [
        f"{'total':<18}{len(plan.trials):>8}{len(state.done):>8}{len(missing):>9}{total_epochs:>9}  "
        f"{_hours(total_epochs * pace.seconds * share)}",
        "",
        f"{duration(pace.seconds)} an epoch, from {pace.basis}"
        if pace.seconds >= 10
        else f"{pace.seconds:.2f} s an epoch, from {pace.basis}",
        f"shared dense trainings: {plan.epochs()} epochs instead of {sum(t.alone for t in plan.trials)} "
        f"({plan.sharing:.2f})",
        f"disk: about {disk_bytes(plan) / 1e6:,.0f} MB",
    ]
    return "\n".join(lines)


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"≈ {hours:.2f}" if hours < 10 else f"≈ {hours:,.0f}"
