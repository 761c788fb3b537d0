"""Learning rates and what a recipe refuses."""

import pytest
import torch
from pydantic import ValidationError
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR

from trainables.training.recipe import Recipe


@pytest.mark.parametrize("epoch", [0, 1, 7, 12, 19])
def test_schedules_equal_those_of_torch_at_whole_epochs(epoch: int) -> None:
    for recipe, scheduler in (
        (Recipe(epochs=20, lr=0.3), lambda o: CosineAnnealingLR(o, 20)),
        (
            Recipe(epochs=20, lr=0.3, schedule="multistep", milestones=(5, 12), gamma=0.2),
            lambda o: MultiStepLR(o, [5, 12], 0.2),
        ),
    ):
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
        stepped = scheduler(optimizer)
        for _ in range(epoch):
            optimizer.step()
            stepped.step()
        assert recipe.learning_rate(epoch) == pytest.approx(
            optimizer.param_groups[0]["lr"], rel=1e-9
        )


def test_cosine_falls_within_an_epoch_and_over_another_length() -> None:
    recipe = Recipe(epochs=20, lr=1.0)
    assert recipe.learning_rate(10.0) == pytest.approx(0.5)
    assert recipe.learning_rate(10.5) < recipe.learning_rate(10.0)
    assert recipe.learning_rate(5, length=10) == pytest.approx(0.5)
    steps = Recipe(epochs=30, lr=1.0, schedule="multistep", milestones=(10, 20))
    assert [steps.learning_rate(epoch, length=15) for epoch in (4, 5, 10)] == pytest.approx(
        [1, 0.1, 0.01]
    )


def test_warm_up_rises_linearly() -> None:
    recipe = Recipe(epochs=20, lr=1.0, schedule="constant", warmup=2)
    assert recipe.learning_rate(0.0) < 1e-9
    assert recipe.learning_rate(1.0) == pytest.approx(0.5)
    assert recipe.learning_rate(5.0) == 1.0


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
    assert recipe.at(3).learning_rate(3.5) == plain.learning_rate(3.5)


def test_a_recipe_without_changes_is_told_as_before() -> None:
    assert (
        "changes" not in Recipe(epochs=3).told()
        and '"epoch": 1' in Recipe(changes=({"epoch": 1, "lr": 1},)).told()
    )


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
