"""What a study has cost so far, and what is to come."""

import pytest

from sweeps.estimate.spent import Account
from sweeps.planning.trial_status import DeviceTime
from sweeps.running.progress import Progress
from sweeps.study_file.prices import Prices


def test_a_running_study_tells_what_it_has_spent_and_what_is_to_come(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    prices = Prices(per_hour={"T4": 2.0})
    account = Account(prices, 0.5, {"old": DeviceTime(3600.0, "Tesla T4", 10)})
    progress = Progress(
        {key: key for key in ("old", "a", "b")}, {"a": 10, "b": 20}, account=account
    )
    progress.started("a")
    clock[0] = 30.0
    progress.reported("a", {"epochs": 5, "gained": 5, "seconds": 1800.0, "device": "Tesla T4"})
    clock[0] = 61.0
    progress.reported("a", {"epochs": 10, "gained": 10, "seconds": 3600.0, "device": "Tesla T4"})
    progress.done("a", {})
    assert (
        "spent: 1.00 T4 hours (2.00 USD); to come: about 1.00 T4 hours (2.00 USD)"
        in capsys.readouterr().out
    )
    progress.reported("b", {"epochs": 20, "gained": 20, "seconds": 10.0, "device": "Tesla T4"})
    progress.done("b", {})
    assert "spent" not in capsys.readouterr().out, "nothing is to come"


def test_money_is_not_told_where_a_device_has_no_price() -> None:
    spent = {"a": DeviceTime(3600.0, "cpu", 1), "b": DeviceTime(3600.0, "Tesla T4", 1)}
    assert Account(Prices(per_hour={"T4": 2.0}), 1, spent).describe() == "2.00 device hours"
    assert (
        Account(Prices(per_hour={"T4": 2.0, "cpu": 1.0}), 1, spent).describe()
        == "2.00 device hours (3.00 USD)"
    )
    assert Account(Prices(), 1, {}).describe() == "0.00 device hours"
    assert (
        Account(Prices(), 1, {"a": DeviceTime(12.0, "cpu", 1)}).describe()
        == "0.0033 CPU core hours"
    )


def test_what_is_to_come_is_unknown_until_something_was_trained() -> None:
    account = Account(Prices(), 1, {"dense": DeviceTime(9.0, "cpu", 0)})
    assert account.describe_ahead(10) == "unknown, no epoch was trained yet"
    account.record("magnitude", DeviceTime(20.0, "cpu", 2))
    assert account.describe_ahead(200) == "about 0.81 CPU core hours"
