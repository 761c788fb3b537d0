"""What a plan will cost, before it runs: epochs, device hours, money, disk. Rough, and says what it
rests on."""

from collections.abc import Iterable

from pruning.user_error import list_some
from sweeps.estimate.devices import CPU, TYPICAL_GPU, hours_unit
from sweeps.estimate.prunable_share import describe_prunable_shares
from sweeps.estimate.spent import Account
from sweeps.estimate.time_per_trial import (
    TimePerTrial,
    network_cost,
    share_of_device,
    time_from_device_table,
    time_from_done_trials,
    time_from_timed_epochs,
)
from sweeps.planning.plan import Plan, PlannedTrial
from sweeps.planning.start_weights import describe_start
from sweeps.planning.trial_status import TrialStatus
from sweeps.study_file.prices import Prices
from sweeps.study_file.study import StudySpec
from sweeps.study_file.unreached_epochs import list_unreached_epochs
from trainables.storage.store import Store


def estimate_times(
    spec: StudySpec, plan: Plan, status: TrialStatus, *, time_epochs: bool = False
) -> list[TimePerTrial]:
    """The time per trial on the device that trials ran on or are to run on, and for a study that
    wants GPUs on each other one that it gives a price of.

    Raises:
        UserError: see `time_from_timed_epochs`.
    """
    if time_epochs:
        here: TimePerTrial | None = time_from_timed_epochs(spec, plan)
    else:
        here = time_from_done_trials(spec, plan, status)
    if not spec.resources.gpus_per_trial:
        return [here or time_from_device_table(spec, CPU)]
    times = [here] if here else []
    others = [
        name for name in spec.prices.per_hour if name != CPU and not (here and name in here.device)
    ]
    for name in others or ([] if times else [TYPICAL_GPU]):
        times.append(time_from_device_table(spec, name))
    return times


def cpu_seconds(spec: StudySpec, plan: Plan, status: TrialStatus) -> float:
    """Seconds in which a CPU, with a trial on each of its cores in turn, would do what is missing
    of a study."""
    resources = spec.resources.model_copy(update={"gpus_per_trial": 0})
    on_cpu = spec.model_copy(update={"resources": resources})
    missing = [plan.by_key[key] for key in status.missing]
    return time_from_device_table(on_cpu, CPU).seconds(missing)


def disk_bytes(plan: Plan, data_dir: str | None) -> float:
    """Bytes the study directory will hold: weights of the dense trainings, and of all networks
    where they are saved; rows and curves are small beside them."""
    total = 30_000.0 * len(plan.trials)
    for trial in plan.trials:
        spec = trial.spec
        if not plan.keep_networks and spec.method != "dense":
            continue
        params = network_cost(spec.model, spec.dataset, data_dir, spec.image_size)[1]
        if spec.method == "dense":
            total += 4 * params * len({0, spec.recipe.epochs, *spec.rewind_epochs})
        if plan.keep_networks:
            # A bit per weight and the weights that are left: at worst all, where the method decides
            # by its own rule.
            total += sum(
                params / 8 + 4 * params * (1 - sparsity) for sparsity in spec.sparsities or (0.0,)
            )
    return total


def describe_plan(
    spec: StudySpec, plan: Plan, status: TrialStatus, store: Store, *, time_epochs: bool = False
) -> str:
    """The plan as lines: per method the trials, those done, the epochs to train and the device
    hours; then money.

    Raises:
        UserError: see `time_from_timed_epochs`.
    """
    times = estimate_times(spec, plan, status, time_epochs=time_epochs)
    settings = ", ".join(f"{setting.model} on {setting.dataset}" for setting in spec.settings)
    lines = [
        f"study {spec.name}: {settings}; {_describe_seeds(spec.seeds)}; directory {store.place()}",
        f"{len(plan.trials)} trials, {len(status.done)} done, {len(status.missing)} missing, "
        f"{len(status.failed)} failed, {len(status.blocked)} not run because of those",
        "",
        f"{'method':<20}{'trials':>8}{'done':>8}{'missing':>9}{'epochs':>9}"
        + "".join(f"  {hours_unit(time.device):>14}" for time in times),
    ]
    for name, trials in plan.by_method().items():
        lines.append(_describe_trials(name, trials, plan, status, times))
    lines.append(_describe_trials("total", list(plan.trials), plan, status, times))
    lines += ["", *_describe_hours(spec.prices, plan, status, times)]
    if status.spent:
        account = Account(spec.prices, share_of_device(spec.resources), status.spent)
        lines.append(f"spent: {account.describe()}")
    lines.append(
        f"shared work: {plan.epochs()} epochs instead of {plan.alone} ({plan.sharing:.2f}), "
        "if every sparsity of every method and seed trained its own start"
    )
    lines.append(f"disk: about {disk_bytes(plan, spec.data_dir) / 1e6:,.0f} MB")
    lines += [*describe_start(spec), *describe_prunable_shares(spec)]
    lines += [f"note: {line}" for line in list_unreached_epochs(spec)]
    return "\n".join(lines)


def _describe_seeds(seeds: list[int]) -> str:
    """The seeds, and how many they are: `--seeds 3` is one seed."""
    if len(seeds) == 1:
        return f"1 seed ({seeds[0]})"
    return f"{len(seeds)} seeds ({list_some([str(seed) for seed in seeds], 5)})"


def _describe_trials(
    name: str,
    trials: list[PlannedTrial],
    plan: Plan,
    status: TrialStatus,
    times: list[TimePerTrial],
) -> str:
    """A row of the table: the trials of a method, or all."""
    missing = select_missing(status, trials)
    hours = "".join(f"  {_describe_number(time.hours(missing)):>14}" for time in times)
    done = sum(trial.key in status.done for trial in trials)
    epochs = plan.epochs(trial.key for trial in missing)
    return f"{name:<20}{len(trials):>8}{done:>8}{len(missing):>9}{epochs:>9}{hours}"


def select_missing(status: TrialStatus, trials: Iterable[PlannedTrial]) -> list[PlannedTrial]:
    """Those of some trials that are missing."""
    missing = set(status.missing)
    return [trial for trial in trials if trial.key in missing]


def _describe_hours(
    prices: Prices, plan: Plan, status: TrialStatus, times: list[TimePerTrial]
) -> list[str]:
    """Per device: what its hours rest on, and what they cost where the study file gives a price."""
    lines = []
    for time in times:
        hours = time.hours(select_missing(status, plan.trials))
        price = prices.price_of(time.device)
        cost = "" if price is None else f" x {price:g} = {prices.describe_amount(hours * price)}"
        unit = hours_unit(time.device)
        lines.append(f"{_describe_number(hours)} {unit}{cost}, from {time.basis}")
    return lines


def _describe_number(hours: float) -> str:
    if hours < 0.005:
        return "< 0.01" if hours else "0"
    return f"≈ {hours:.2f}" if hours < 10 else f"≈ {hours:,.0f}"
