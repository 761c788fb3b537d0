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


def test_a_recipe_without_changes_is_written_as_before() -> None:
    assert (
        "changes" not in Recipe(epochs=3).non_default_json()
        and '"epoch": 1' in Recipe(changes=({"epoch": 1, "lr": 1},)).non_default_json()
    )
