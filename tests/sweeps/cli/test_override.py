"""`--set KEY=VALUE`: one field of a study."""

from typing import Any

import pytest

from pruning.user_error import UserError
from sweeps.cli.override import override
from sweeps.study_file.study import build_study

GOOD: dict[str, Any] = {
    "name": "small",
    "dataset": "digits",
    "model": "mlp",
    "methods": ["magnitude"],
    "sparsities": [0.5, 0.9],
    "seeds": [0, 1],
}


def test_set_reaches_every_field() -> None:
    raw = {**GOOD, "methods": ["magnitude", {"random": None}]}
    for assignment in (
        "recipe.epochs=5",
        "methods.magnitude.scope=layer",
        "methods.random.layers=[uniform, erk]",
    ):
        override(raw, assignment)
    spec = build_study(raw, where="x")
    assert spec.recipe.epochs == 5
    assert {entry.name: entry.knobs for entry in spec.methods} == {
        "magnitude": {"scope": "layer"},
        "random": {"layers": ["uniform", "erk"]},
    }


@pytest.mark.parametrize("assignment", ["recipe.epochs", "=3", "name.part=3"])
def test_set_refuses_what_is_no_assignment(assignment: str) -> None:
    with pytest.raises(UserError, match="--set"):
        override(dict(GOOD), assignment)
