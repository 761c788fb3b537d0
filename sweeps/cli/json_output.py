"""What `--json` tells: plans, results, methods and presets as plain values."""

from typing import Any

from pruning import registry
from sweeps.estimate.plan_cost import find_paces
from sweeps.estimate.spent import Account
from sweeps.estimate.time_per_trial import share
from sweeps.planning.plan import Plan, describe_method
from sweeps.planning.trial_status import Ledger
from sweeps.study_file import study
from sweeps.study_file.study import StudySpec
from trainables.storage.store import Store


def tell_state(spec: StudySpec, plan: Plan, state: Ledger, store: Store) -> dict[str, Any]:
    """How a study stands: counts, failures by key, where it lies, and what it has cost."""
    return {
        "study": spec.name,
        "directory": store.place(),
        "trials": len(plan.trials),
        "done": len(state.done),
        "missing": len(state.missing),
        "failed": {key: failure.error for key, failure in state.failed.items()},
        "not_run": dict(state.blocked),
        "spent": Account(spec.prices, share(spec.resources), state.spent).told()
        if state.spent
        else "",
    }


def tell_plan(spec: StudySpec, plan: Plan, state: Ledger, *, calibrate: bool) -> dict[str, Any]:
    """What is to come: per method the trials, those missing, the epochs to train and the hours by
    device.

    Raises:
        UserError: see `pace.from_calibration`.
    """
    paces, missing = find_paces(spec, plan, state, calibrate=calibrate), set(state.missing)
    methods = []
    for name, trials in plan.by_method().items():
        left = [trial for trial in trials if trial.key in missing]
        hours = {pace.device: pace.hours(left) for pace in paces}
        counts = {"trials": len(trials), "done": sum(trial.key in state.done for trial in trials)}
        epochs = plan.epochs(trial.key for trial in left)
        methods.append(
            {"method": name, **counts, "missing": len(left), "epochs": epochs, "hours": hours}
        )
    left = [trial for trial in plan.trials if trial.key in missing]
    devices = []
    for pace in paces:
        price, total = spec.prices.of(pace.device), pace.hours(left)
        money = None if price is None else total * price
        devices.append({"device": pace.device, "hours": total, "money": money, "basis": pace.basis})
    return {"methods": methods, "devices": devices, "currency": spec.prices.currency}


def tell_methods() -> dict[str, Any]:
    """Every method with its card and its knobs."""
    return {"methods": [{"name": name, **describe_method(name)} for name in registry.names()]}


def tell_presets() -> dict[str, Any]:
    """Every study that comes with the project."""
    return {
        "presets": [
            {
                "name": name,
                "path": str(path),
                "description": study.read(path).get("description", ""),
            }
            for name, path in study.presets().items()
        ]
    }
