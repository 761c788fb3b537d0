"""What `--json` prints of a study: how it stands, and what is to come."""

from typing import Any

from sweeps.estimate.plan_cost import estimate_times, select_missing
from sweeps.estimate.spent import Account
from sweeps.estimate.time_per_trial import share_of_device
from sweeps.planning.plan import Plan
from sweeps.planning.trial_status import TrialStatus
from sweeps.study_file.study import StudySpec
from sweeps.study_file.unreached_epochs import list_unreached_epochs
from trainables.storage.store import Store


def status_as_json(
    spec: StudySpec, plan: Plan, status: TrialStatus, store: Store
) -> dict[str, Any]:
    """How a study stands: counts, failures by key, where it lies, and what it has cost."""
    account = Account(spec.prices, share_of_device(spec.resources), status.spent)
    return {
        "study": spec.name,
        "directory": store.place(),
        "trials": len(plan.trials),
        "done": len(status.done),
        "missing": len(status.missing),
        "failed": {key: failure.error for key, failure in status.failed.items()},
        "not_run": dict(status.blocked),
        "spent": account.describe() if status.spent else "",
    }


def plan_as_json(
    spec: StudySpec, plan: Plan, status: TrialStatus, *, time_epochs: bool
) -> dict[str, Any]:
    """What is to come: per method the trials, those missing, the epochs to train and the hours by
    device; and what is to be noted.

    Raises:
        UserError: see `time_per_trial.time_from_timed_epochs`.
    """
    times = estimate_times(spec, plan, status, time_epochs=time_epochs)
    methods = []
    for name, trials in plan.by_method().items():
        missing = select_missing(status, trials)
        methods.append(
            {
                "method": name,
                "trials": len(trials),
                "done": sum(trial.key in status.done for trial in trials),
                "missing": len(missing),
                "epochs": plan.epochs(trial.key for trial in missing),
                "hours": {time.device: time.hours(missing) for time in times},
            }
        )
    devices = []
    for time in times:
        price = spec.prices.price_of(time.device)
        hours = time.hours(select_missing(status, plan.trials))
        money = None if price is None else hours * price
        devices.append({"device": time.device, "hours": hours, "money": money, "basis": time.basis})
    return {
        "methods": methods,
        "devices": devices,
        "currency": spec.prices.currency,
        "notes": list_unreached_epochs(spec),
    }
