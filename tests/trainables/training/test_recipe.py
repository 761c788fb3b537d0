"""What a recipe refuses, and its changes within a training."""

import pytest
from pydantic import ValidationError

from trainables.training.learning_rate import learning_rate
from trainables.training.recipe import Recipe


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schedule": "multistep"}, "needs milestones"),
        ({"milestones": (3,)}, "belong to schedule 'multistep'"),
        ({"schedule": "multistep", "milestones": (5, 3)}, "must rise"),
        ({"nesterov": True, "momentum": 0.0}, "nesterov needs momentum"),
        ({"schedule": "onecycle", "warmup": 2}, "'onecycle' has a warm-up of its own: pct_start"),
        ({"pct_start": 0.2}, "pct_start belongs to schedule 'onecycle', but the schedule is"),
        ({"div_factor": 10}, "div_factor belongs to schedule 'onecycle'"),
        ({"cycle_momentum": True}, "cycle_momentum belongs to schedule 'onecycle'"),
        (
            {"schedule": "onecycle", "cycle_momentum": True, "momentum": 0.8},
            "cycle_momentum sets the momentum",
        ),
        (
            {
                "schedule": "onecycle",
                "cycle_momentum": True,
                "changes": ({"epoch": 1, "momentum": 0.8},),
            },
            "cycle_momentum sets the momentum",
        ),
        ({"schedule": "onecycle", "pct_start": 1.0}, "less than 1"),
        ({"ema": 1.0}, "less than 1"),
        ({"ema": 0}, "greater than 0"),
        ({"clip": 0}, "greater than 0"),
        ({"clip": float("inf")}, "finite number"),
        ({"accumulate": 0}, "greater than or equal to 1"),
        ({"accumulate": True}, "must be a number, but got true"),
        ({"epochs": -1}, "greater than or equal to 0"),
        ({"lr": 0}, "greater than 0"),
        ({"epoch": 3}, "Extra inputs"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate(fields)


def test_changes_are_in_force_from_their_epoch_on() -> None:
    recipe = Recipe(
        epochs=6,
        lr=0.1,
        changes=({"epoch": 2, "lr": 0.2}, {"epoch": 4, "weight_decay": 0.5, "lr": 0.05}),
    )
    assert [recipe.at(epoch).lr for epoch in range(6)] == [0.1, 0.1, 0.2, 0.2, 0.05, 0.05]
    assert [recipe.at(epoch).weight_decay for epoch in (3, 4)] == [1e-4, 0.5]
    plain = Recipe(epochs=6, lr=0.2)
    assert learning_rate(recipe.at(3), 3.5) == learning_rate(plain, 3.5)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([{"epoch": 2}], "a change at epoch 2 must name one of batch, lr"),
        ([{"epoch": 0, "lr": 0.1}], "greater than or equal to 1"),
        (
            [{"epoch": 3, "lr": 0.1}, {"epoch": 3, "lr": 0.2}],
            "changes must be at rising epochs, but got \\[3, 3\\]",
        ),
        ([{"epoch": 3, "gamma": 0.1}], "Extra inputs"),
        ([{"epoch": 3, "lr": -1}], "greater than 0"),
    ],
)
def test_mistakes_in_changes(changes: list[dict[str, float]], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Recipe.model_validate({"changes": changes})


def test_accumulation_clipping_and_average_may_change() -> None:
    changes = ({"epoch": 1, "accumulate": 4}, {"epoch": 2, "clip": 0.5, "ema": 0.99})
    recipe = Recipe.model_validate({"epochs": 4, "changes": changes})
    at = [(one.accumulate, one.clip, one.ema) for one in map(recipe.at, range(4))]
    assert at == [(1, None, None), (4, None, None), (4, 0.5, 0.99), (4, 0.5, 0.99)]


def test_fields_that_are_the_default_are_no_part_of_a_key() -> None:
    defaults = {
        "accumulate": 1,
        "clip": None,
        "ema": None,
        "decay_norm_and_bias": True,
        "pct_start": 0.3,
        "div_factor": 25,
        "final_div_factor": 10_000,
        "cycle_momentum": False,
    }
    assert Recipe.model_validate(defaults).non_default_json() == "{}"
    assert Recipe(accumulate=4, ema=0.9).non_default_json() == '{"accumulate": 4, "ema": 0.9}'


def test_a_recipe_without_changes_is_written_as_before() -> None:
    assert (
        "changes" not in Recipe(epochs=3).non_default_json()
        and '"epoch": 1' in Recipe(changes=({"epoch": 1, "lr": 1},)).non_default_json()
    )
