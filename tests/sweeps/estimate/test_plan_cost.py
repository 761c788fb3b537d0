"""The plan as lines, with hours and money for each device."""

from pathlib import Path

import pytest

from sweeps.estimate import time_per_trial
from sweeps.estimate.plan_cost import describe_plan, estimate_times
from sweeps.planning.trial_status import read_trial_status
from tests.sweeps.estimate.small_study import plan_small_study, write_rows
from trainables.storage.store import Store


def test_a_dry_run_prices_each_device(tmp_path: Path) -> None:
    prices = {"currency": "EUR", "per_hour": {"T4": 0.16, "L4": 0.30, "cpu": 9}}
    spec, plan = plan_small_study(resources={"gpus_per_trial": 0.5}, prices=prices)
    store = Store.at(tmp_path)
    told = describe_plan(spec, plan, read_trial_status(plan, store), store)
    assert [one.device for one in estimate_times(spec, plan, read_trial_status(plan, store))] == [
        "T4",
        "L4",
    ]
    assert "T4 hours        L4 hours" in told and "CPU" not in told
    hours = time_per_trial.time_from_device_table(spec, "T4").hours(plan.trials)
    assert hours == pytest.approx(
        0.5 * time_per_trial.time_from_device_table(spec, "T4").seconds(plan.trials) / 3600
    )
    assert f"T4 hours x 0.16 = {0.16 * hours:.2f} EUR, from a table of devices" in told
    write_rows(store, plan, "dense", 3600.0, "Tesla T4")
    told = describe_plan(spec, plan, read_trial_status(plan, store), store)
    assert "EUR, from 2 trials that are done" in told and "L4 hours x 0.3 =" in told
    assert "spent: 1.00 T4 hours (0.16 EUR)" in told


def test_without_a_price_there_is_no_money(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, plan = plan_small_study()
    store = Store.at(tmp_path)
    told = describe_plan(spec, plan, read_trial_status(plan, store), store)
    assert "; 2 seeds (0, 1); directory" in told
    one = spec.model_copy(update={"seeds": [3]})
    assert "; 1 seed (3); " in describe_plan(one, plan, read_trial_status(plan, store), store)
    assert "USD" not in told and "CPU core hours, from a table of devices" in told
    assert "magnitude_post" in told and "< 0.01" in told


def test_two_gpus_per_trial_are_both_charged_and_share_the_work(tmp_path: Path) -> None:
    store, told = Store.at(tmp_path), {}
    times, charged = {}, {}
    for gpus in (1, 2):
        spec, plan = plan_small_study(
            resources={"gpus_per_trial": gpus, "cpus_per_trial": 4},
            prices={"per_hour": {"T4": 0.16}},
        )
        table = time_per_trial.time_from_device_table(spec, "T4")
        times[gpus], charged[gpus] = table.seconds(plan.trials), table.hours(plan.trials)
        told[gpus] = describe_plan(spec, plan, read_trial_status(plan, store), store)
        assert charged[gpus] == pytest.approx(gpus * times[gpus] / 3600)
        assert f"T4 hours x 0.16 = {0.16 * charged[gpus]:.2f} USD" in told[gpus]
    # What the network computes takes half as long; what a step and a trial take besides does not.
    assert times[1] / 2 < times[2] < times[1] and charged[1] < charged[2]
