"""Learning-rate schedules: equal to those of torch, and between whole epochs."""

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR, OneCycleLR

from trainables.training.learning_rate import learning_rate, momentum
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
        assert learning_rate(recipe, epoch) == pytest.approx(
            optimizer.param_groups[0]["lr"], rel=1e-9
        )


ONECYCLE = {"schedule": "onecycle", "lr": 0.3, "cycle_momentum": True}


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
@pytest.mark.parametrize(
    ("epochs", "steps", "given"),
    [
        (5, 7, {}),
        (1, 10, {"pct_start": 0.5}),
        (3, 1, {"pct_start": 0.7, "div_factor": 10.0, "final_div_factor": 100.0}),
        (1, 2, {}),  # ends its rise before its first step
    ],
)
def test_onecycle_has_the_numbers_of_torch_at_every_step(
    kind: str, epochs: int, steps: int, given: dict[str, float]
) -> None:
    recipe = Recipe.model_validate({**ONECYCLE, "epochs": epochs, "optimizer": kind, **given})
    optimizer: torch.optim.Optimizer
    if kind == "sgd":
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3, momentum=0.9)
    else:
        optimizer = torch.optim.AdamW([torch.zeros(1)], lr=0.3)
    scheduler = OneCycleLR(optimizer, max_lr=0.3, total_steps=epochs * steps, **given)  # type: ignore[arg-type]
    (group,) = optimizer.param_groups
    for step in range(epochs * steps):
        at = step / steps
        assert learning_rate(recipe, at, step=1 / steps) == pytest.approx(group["lr"], rel=1e-9)
        theirs = group["momentum"] if kind == "sgd" else group["betas"][0]
        assert momentum(recipe, at, step=1 / steps) == pytest.approx(theirs, rel=1e-9)
        optimizer.step()
        if step + 1 < epochs * steps:
            scheduler.step()


def test_onecycle_is_laid_over_another_length() -> None:
    recipe = Recipe.model_validate({**ONECYCLE, "epochs": 10})
    for step in range(20):
        place = {"step": 0.5, "length": 20}
        assert learning_rate(recipe, step, length=20, step=0.5) == pytest.approx(
            learning_rate(recipe, step / 2, step=0.25)
        ), place
        assert momentum(recipe, step, length=20, step=0.5) == pytest.approx(
            momentum(recipe, step / 2, step=0.25)
        )


def test_onecycle_of_a_single_step_is_finite() -> None:
    recipe = Recipe.model_validate({**ONECYCLE, "epochs": 1})
    assert 0 < learning_rate(recipe, 0, step=1.0) <= 0.3
    assert learning_rate(recipe, 0.0) == pytest.approx(0.3 / 25)
    assert learning_rate(recipe, 1.0) == pytest.approx(0.3 / 25 / 1e4)


def test_momentum_stays_where_it_does_not_cycle() -> None:
    assert momentum(Recipe(), 3.0) is None
    assert momentum(Recipe(schedule="onecycle"), 3.0) is None


def test_cosine_falls_within_an_epoch_and_over_another_length() -> None:
    recipe = Recipe(epochs=20, lr=1.0)
    assert learning_rate(recipe, 10.0) == pytest.approx(0.5)
    assert learning_rate(recipe, 10.5) < learning_rate(recipe, 10.0)
    assert learning_rate(recipe, 5, length=10) == pytest.approx(0.5)
    steps = Recipe(epochs=30, lr=1.0, schedule="multistep", milestones=(10, 20))
    assert [learning_rate(steps, epoch, length=15) for epoch in (4, 5, 10)] == pytest.approx(
        [1, 0.1, 0.01]
    )


def test_warm_up_rises_linearly() -> None:
    recipe = Recipe(epochs=20, lr=1.0, schedule="constant", warmup=2)
    assert learning_rate(recipe, 0.0) < 1e-9
    assert learning_rate(recipe, 1.0) == pytest.approx(0.5)
    assert learning_rate(recipe, 5.0) == 1.0
