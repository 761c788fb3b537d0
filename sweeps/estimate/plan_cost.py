"""What a plan will cost, before it runs: epochs, device hours, money, disk. Rough, and says what it
rests on."""

from sweeps.estimate.devices import CPU, TYPICAL_GPU, unit
from sweeps.estimate.spent import Account
from sweeps.estimate.time_per_trial import (
    Pace,
    from_calibration,
    from_done,
    from_table,
    network_cost,
    share,
)
from sweeps.planning.plan import Plan, Planned
from sweeps.planning.trial_status import Ledger
from sweeps.study_file.prices import Prices
from sweeps.study_file.study import StudySpec
from trainables.storage.store import Store


def find_paces(
    spec: StudySpec, plan: Plan, state: Ledger, *, calibrate: bool = False
) -> list[Pace]:
    """One pace for the device that trials ran on or are to run on, and for a study that wants GPUs
    one for each other that it gives a price of.

    Raises:
        UserError: see `pace.from_calibration`.
    """
    measured = from_calibration(spec, plan) if calibrate else from_done(spec, plan, state)
    if not spec.resources.gpus_per_trial:
        return [measured or from_table(spec, CPU)]
    found = [measured] if measured else []
    priced = [
        name
        for name in spec.prices.per_hour
        if name != CPU and not (measured and name in measured.device)
    ]
    return found + [from_table(spec, name) for name in priced or ([] if found else [TYPICAL_GPU])]


def cpu_seconds(spec: StudySpec, plan: Plan, state: Ledger) -> float:
    """Seconds in which a CPU, with a trial on each of its cores in turn, would do what is missing
    of a study."""
    on_cpu = spec.model_copy(
        update={"resources": spec.resources.model_copy(update={"gpus_per_trial": 0})}
    )
    return from_table(on_cpu, CPU).seconds(plan.by_key[key] for key in state.missing)


def disk_bytes(plan: Plan) -> float:
    """Bytes the study directory will hold: weights of the dense trainings, and of all networks
    where they are kept; rows and curves are small beside them."""
    total = 30_000.0 * len(plan.trials)
    for trial in plan.trials:
        if not plan.keep_networks and trial.spec.method != "dense":
            continue
        params = network_cost(trial.spec.model, trial.spec.dataset)[1]
        if trial.spec.method == "dense":
            total += 4 * params * len({0, trial.spec.recipe.epochs, *trial.spec.rewind_epochs})
        if plan.keep_networks:
            # A bit per weight and the weights that are left: at worst all, where the method decides
            # by its own rule.
            total += sum(
                params / 8 + 4 * params * (1 - sparsity)
                for sparsity in trial.spec.sparsities or (0.0,)
            )
    return total


def describe_plan(
    spec: StudySpec, plan: Plan, state: Ledger, store: Store, *, calibrate: bool = False
) -> str:
    """The plan as lines: per method the trials, those done, the epochs to train and the device
    hours; then money.

    Raises:
        UserError: see `pace.from_calibration`.
    """
    paces = find_paces(spec, plan, state, calibrate=calibrate)
    head = [
        f"study {spec.name}: {', '.join(f'{s.model} on {s.dataset}' for s in spec.settings)}; {len(spec.seeds)} seeds; "
        f"directory {store.place()}",
        f"{len(plan.trials)} trials, {len(state.done)} done, {len(state.missing)} missing, "
        f"{len(state.failed)} failed, {len(state.blocked)} not run because of those",
        "",
        f"{'method':<18}{'trials':>8}{'done':>8}{'missing':>9}{'epochs':>9}"
        + "".join(f"  {unit(pace.device):>14}" for pace in paces),
    ]
    lines = [_line(name, trials, plan, state, paces) for name, trials in plan.by_method().items()]
    lines.append(_line("total", list(plan.trials), plan, state, paces))
    lines += ["", *_money(spec.prices, plan, state, paces)]
    if state.spent:
        lines.append(f"spent: {Account(spec.prices, share(spec.resources), state.spent).told()}")
    lines.append(
        f"shared work: {plan.epochs()} epochs instead of {plan.alone} ({plan.sharing:.2f}), if every sparsity of every "
        "method and seed trained its own start"
    )
    lines.append(f"disk: about {disk_bytes(plan) / 1e6:,.0f} MB")
    return "\n".join(head + lines)


def _line(name: str, trials: list[Planned], plan: Plan, state: Ledger, paces: list[Pace]) -> str:
    left = _missing(plan, state, trials)
    hours = "".join(f"  {_about(pace.hours(left)):>14}" for pace in paces)
    done = sum(trial.key in state.done for trial in trials)
    return f"{name:<18}{len(trials):>8}{done:>8}{len(left):>9}{plan.epochs(t.key for t in left):>9}{hours}"


def _missing(plan: Plan, state: Ledger, trials: list[Planned]) -> list[Planned]:
    missing = set(state.missing)
    return [trial for trial in trials if trial.key in missing]


def _money(prices: Prices, plan: Plan, state: Ledger, paces: list[Pace]) -> list[str]:
    """Per device: what its hours rest on, and what they cost where the study file gives a price."""
    lines = []
    for pace in paces:
        hours = pace.hours(_missing(plan, state, list(plan.trials)))
        price = prices.of(pace.device)
        cost = "" if price is None else f" x {price:g} = {prices.told(hours * price)}"
        lines.append(f"{_about(hours)} {unit(pace.device)}{cost}, from {pace.basis}")
    return lines


def _about(hours: float) -> str:
    if hours < 0.005:
        return "< 0.01" if hours else "0"
    return f"≈ {hours:.2f}" if hours < 10 else f"≈ {hours:,.0f}"
