"""What a recipe lays down beyond the end of its training is told before anything trains."""

from typing import Any

import pytest

from sweeps.study_file.study import build_study
from sweeps.study_file.unreached_epochs import list_unreached_epochs
from tests.sweeps.study_file.test_study import GOOD

STEPS = {"schedule": "multistep", "epochs": 160, "milestones": [80, 120]}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"recipe": STEPS}, []),
        (
            {"recipe": STEPS, "retrain": {"epochs": 40}},  # which inherits the milestones
            ["retrain: milestones at epoch 80, 120 are not reached: its training has 40 epochs"],
        ),
        (
            {"recipe": {**STEPS, "epochs": 120}, "retrain": {"epochs": 121}},
            ["recipe: milestones at epoch 120 are not reached: its training has 120 epochs"],
        ),
        ({"recipe": STEPS, "retrain": {"epochs": 0}}, []),  # no training that it could miss
        (
            {"recipe": {"epochs": 2, "changes": [{"epoch": 1, "lr": 1}, {"epoch": 2, "lr": 2}]}},
            ["recipe: changes at epoch 2 are not reached: its training has 2 epochs"],
        ),
        (
            {"recipe": {"epochs": 5, "warmup": 5}, "retrain": {"epochs": 4}},
            ["retrain: a warm-up of 5 epochs does not come to its end: its training has 4 epochs"],
        ),
        (
            {"recipe": STEPS, "also": [{"recipe": {"epochs": 80}}, {"recipe": {"epochs": 80}}]},
            [
                f"{name}: milestones at epoch 80, 120 are not reached: its training has 80 epochs"
                for name in ("recipe", "retrain")
            ],
        ),
    ],
)
def test_what_lies_beyond_the_last_epoch_is_one_line(
    fields: dict[str, Any], expected: list[str]
) -> None:
    assert list_unreached_epochs(build_study({**GOOD, **fields}, where="x")) == expected
