"""Learning-rate schedules: equal to those of torch, and between whole epochs."""

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR

from trainables.training.learning_rate import learning_rate
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
