"""What a study will cost and has cost: paces, prices, the dry run and the lines of a running study.
"""

from pathlib import Path
from typing import Any

import pytest

from pruning.user_error import UserError
from sweeps import full_study
from sweeps.estimate import devices, time_per_trial
from sweeps.estimate.plan_cost import describe_plan, find_paces
from sweeps.estimate.spent import Account
from sweeps.planning import trial_status
from sweeps.planning.plan import Plan, make_plan
from sweeps.planning.trial_status import Spent
from sweeps.running.progress import Progress
from sweeps.study_file import study
from sweeps.study_file.prices import Prices
from sweeps.study_file.study import StudySpec
from trainables.storage import parquet_tables
from trainables.storage.store import Store

RAW: dict[str, Any] = {
    "name": "cost",
    "dataset": "digits",
    "model": "mlp",
    "recipe": {"epochs": 10, "precision": "fp32"},
    "retrain": {"epochs": 5},
    "methods": ["magnitude", "magnitude_post"],
    "sparsities": [0.5, 0.9],
    "seeds": [0, 1],
}


def planned(**change: Any) -> tuple[StudySpec, Plan]:
    spec = study.build({**RAW, **change}, where="x")
    return spec, make_plan(spec)


def finish(store: Store, plan: Plan, method: str, seconds: float, device: str = "cpu") -> None:
    """Rows as trials of this method that took so long would leave them."""
    for trial in plan.trials:
        if trial.spec.method == method:
            row = {
                **trial.spec.columns(),
                "trial_seconds": seconds,
                "device": device,
                "epochs": trial.epochs,
            }
            store.write(f"rows/{trial.key}.parquet", parquet_tables.encode("rows", [row]))


def test_the_table_of_devices_counts_six_operations_a_multiply_accumulate() -> None:
    spec, plan = planned()
    dense = plan.trials[0]
    macs, weights = time_per_trial.network_cost("mlp", "digits")
    epoch = 6 * macs * 1295 / devices.RATES["cpu"] + time_per_trial.STEP * 1295 / 128
    assert time_per_trial.from_table(spec, "cpu").seconds([dense]) == pytest.approx(
        time_per_trial.TRIAL + 10 * epoch
    )
    assert 0.95 * weights < macs < weights, (
        "a linear network multiplies once by each of its weights, but not biases"
    )


def test_what_is_done_sets_the_pace_of_its_method_and_scales_the_others(tmp_path: Path) -> None:
    spec, plan = planned()
    store = Store.at(tmp_path)
    finish(store, plan, "dense", 40.0)
    finish(store, plan, "magnitude_post", 3.0)
    found = time_per_trial.from_done(spec, plan, trial_status.read(plan, store))
    assert found is not None and found.basis == "6 trials that are done"
    by_method = plan.by_method()
    assert found.seconds(by_method["dense"]) == pytest.approx(2 * 40)
    assert found.seconds(by_method["magnitude_post"]) == pytest.approx(4 * 3)
    table = time_per_trial.from_table(spec, "cpu")
    factor = (2 * 40 + 4 * 3) / (
        table.seconds(by_method["dense"]) + table.seconds(by_method["magnitude_post"])
    )
    assert found.seconds(by_method["magnitude"]) == pytest.approx(
        factor * table.seconds(by_method["magnitude"])
    )


def test_nothing_done_or_no_seconds_is_no_pace(tmp_path: Path) -> None:
    spec, plan = planned()
    store = Store.at(tmp_path)
    assert time_per_trial.from_done(spec, plan, trial_status.read(plan, store)) is None
    for seconds in (0.0, float("nan"), float("inf"), -1.0):
        finish(store, plan, "dense", seconds)
        assert time_per_trial.from_done(spec, plan, trial_status.read(plan, store)) is None


def test_a_dry_run_prices_each_device(tmp_path: Path) -> None:
    prices = {"currency": "EUR", "per_hour": {"T4": 0.16, "L4": 0.30, "cpu": 9}}
    spec, plan = planned(resources={"gpus_per_trial": 0.5}, prices=prices)
    store = Store.at(tmp_path)
    told = describe_plan(spec, plan, trial_status.read(plan, store), store)
    assert [one.device for one in find_paces(spec, plan, trial_status.read(plan, store))] == [
        "T4",
        "L4",
    ]
    assert "T4 hours        L4 hours" in told and "CPU" not in told
    hours = time_per_trial.from_table(spec, "T4").hours(plan.trials)
    assert hours == pytest.approx(
        0.5 * time_per_trial.from_table(spec, "T4").seconds(plan.trials) / 3600
    )
    assert f"T4 hours x 0.16 = {0.16 * hours:.2f} EUR, from a table of devices" in told
    finish(store, plan, "dense", 3600.0, "Tesla T4")
    told = describe_plan(spec, plan, trial_status.read(plan, store), store)
    assert "EUR, from 2 trials that are done" in told and "L4 hours x 0.3 =" in told
    assert "spent: 1.00 T4 hours (0.16 EUR)" in told


def test_without_a_price_there_is_no_money(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, plan = planned()
    store = Store.at(tmp_path)
    told = describe_plan(spec, plan, trial_status.read(plan, store), store)
    assert "USD" not in told and "CPU core hours, from a table of devices" in told
    assert "magnitude_post" in told and "< 0.01" in told


def test_a_calibration_times_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainables.timing import epoch_time

    spec, plan = planned()
    monkeypatch.setattr(epoch_time, "time_epoch", lambda spec, environment: 7.0)
    found = time_per_trial.from_calibration(spec, plan)
    dense = [trial for trial in plan.trials if trial.spec.method == "dense"]
    assert found.seconds(dense) == pytest.approx(2 * (time_per_trial.TRIAL + 10 * 7.0))
    assert found.basis == "a calibration on this machine" and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("batch", "steps"), [(32, 41), (2000, 1)])
def test_a_calibration_trains(
    batch: int, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainables.environment import Environment
    from trainables.timing import epoch_time

    _, plan = planned(recipe={"epochs": 10, "precision": "fp32", "batch": batch})
    clock = iter(
        range(1000)
    )  # every look at it takes a second, and there is one look after each batch
    monkeypatch.setattr(epoch_time.time, "perf_counter", lambda: float(next(clock)))
    seconds = epoch_time.time_epoch(
        plan.trials[0].spec, Environment(store=str(tmp_path)), seconds=5.0
    )
    assert steps <= seconds <= 2 * steps + 2


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="this machine has a GPU")
def test_a_calibration_of_gpus_needs_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, plan = planned(resources={"gpus_per_trial": 1})
    with pytest.raises(UserError, match="has no GPU"):
        time_per_trial.from_calibration(spec, plan)
    assert full_study.main(["--preset", "digits", "--calibrate", "--out", str(tmp_path)]) == 2
    assert "give both" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("prices", "wrong"),
    [
        ({"per_hour": {"T4": -1}}, "greater than or equal to 0"),
        ({"T4": 1}, "T4"),
        ({"per_hour": 3}, "per_hour"),
    ],
)
def test_wrong_prices_are_mistakes(prices: Any, wrong: str) -> None:
    with pytest.raises(UserError, match=wrong):
        planned(prices=prices)


def test_a_device_is_known_by_the_longest_name_that_fits() -> None:
    assert devices.match("NVIDIA A10G", ["A10", "A10G", "T4"]) == "A10G"
    assert devices.match("NVIDIA H100 80GB HBM3", ["A10", "h100"]) == "h100"
    assert (
        devices.match("cpu", ["T4"]) is None
        and devices.known_as("GeForce GT 710") == "GeForce GT 710"
    )


def test_a_running_study_tells_what_it_has_spent_and_what_is_to_come(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    prices = Prices(per_hour={"T4": 2.0})
    account = Account(prices, 0.5, {"old": Spent(3600.0, "Tesla T4", 10)})
    progress = Progress(
        {key: key for key in ("old", "a", "b")}, {"a": 10, "b": 20}, account=account
    )
    progress.started("a")
    clock[0] = 30.0
    progress.moved("a", {"epochs": 5, "gained": 5, "seconds": 1800.0, "device": "Tesla T4"})
    clock[0] = 61.0
    progress.moved("a", {"epochs": 10, "gained": 10, "seconds": 3600.0, "device": "Tesla T4"})
    progress.done("a", {})
    assert (
        "spent: 1.00 T4 hours (2.00 USD); to come: about 1.00 T4 hours (2.00 USD)"
        in capsys.readouterr().out
    )
    progress.moved("b", {"epochs": 20, "gained": 20, "seconds": 10.0, "device": "Tesla T4"})
    progress.done("b", {})
    assert "spent" not in capsys.readouterr().out, "nothing is to come"


def test_money_is_not_told_where_a_device_has_no_price() -> None:
    spent = {"a": Spent(3600.0, "cpu", 1), "b": Spent(3600.0, "Tesla T4", 1)}
    assert Account(Prices(per_hour={"T4": 2.0}), 1, spent).told() == "2.00 device hours"
    assert (
        Account(Prices(per_hour={"T4": 2.0, "cpu": 1.0}), 1, spent).told()
        == "2.00 device hours (3.00 USD)"
    )
    assert Account(Prices(), 1, {}).told() == "0.00 device hours"
    assert Account(Prices(), 1, {"a": Spent(12.0, "cpu", 1)}).told() == "0.0033 CPU core hours"
