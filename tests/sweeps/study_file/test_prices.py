"""What an hour of a device costs, by the name of the device.

Covers: sweeps/study_file/prices.py, sweeps/estimate/devices.py.
"""

from typing import Any

import pytest

from pruning.user_error import UserError
from sweeps.estimate.devices import name_in_table
from sweeps.study_file.prices import match_device
from tests.sweeps.estimate.small_study import plan_small_study


@pytest.mark.parametrize(
    ("prices", "wrong"),
    [
        ({"per_hour": {"T4": -1}}, "per_hour.T4: must be at least 0, but got -1"),
        ({"T4": 1}, "T4"),
        ({"per_hour": 3}, "per_hour"),
    ],
)
def test_wrong_prices_are_mistakes(prices: Any, wrong: str) -> None:
    with pytest.raises(UserError, match=wrong):
        plan_small_study(prices=prices)


def test_a_device_is_known_by_the_longest_name_that_fits() -> None:
    assert match_device("NVIDIA A10G", ["A10", "A10G", "T4"]) == "A10G"
    assert match_device("NVIDIA H100 80GB HBM3", ["A10", "h100"]) == "h100"
    assert (
        match_device("cpu", ["T4"]) is None and name_in_table("GeForce GT 710") == "GeForce GT 710"
    )
