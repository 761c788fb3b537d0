"""What a method is given: random numbers and images of its own for every call."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pruning.registry import build_method
from pruning.structured.keep_plan import Smaller
from trainables.prune_inputs import PruneInputs
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

SPEC = TrialSpec(
    dataset="digits", model="mlp", method="dense", seed=1, recipe=Recipe(epochs=1, batch=100)
)


def make_inputs(trial: Trial) -> PruneInputs:
    runner = trial.runner
    return PruneInputs(trial.spec, runner.loader, runner.network, trial.records)


def test_equal_calls_draw_equal_numbers_and_images_and_others_draw_others(
    open_trial: Callable[..., Trial],
) -> None:
    inputs = make_inputs(open_trial(SPEC))
    calls = [("prune", 1), ("prune", 1), ("prune", 2), ("update", 1)]
    numbers, images = [], []
    for purpose, number in calls:
        made = inputs.make(0.5, purpose, number)
        numbers.append(torch.rand(4, generator=made.generator))
        batches = list(made.images(150))
        assert [len(x) for x, _ in batches] == [128, 22], "whatever the batch of the recipe"
        images.append(batches[0][0])
    assert torch.equal(numbers[0], numbers[1]) and torch.equal(images[0], images[1])
    for other in (2, 3):
        assert not torch.equal(numbers[0], numbers[other])
        assert not torch.equal(images[0], images[other])


def test_images_can_be_drawn_again_and_are_the_same(open_trial: Callable[..., Trial]) -> None:
    made = make_inputs(open_trial(SPEC)).make(0.5, "prune", 1)
    (first, _), (again, _) = next(made.images(10)), next(made.images(10))
    assert torch.equal(first, again)


def test_memory_level_and_masks_are_those_of_the_trial(open_trial: Callable[..., Trial]) -> None:
    trial = open_trial(SPEC)
    trial.records.level = 3
    trial.records.memory["scores"] = torch.ones(1)
    made = make_inputs(trial).make(0.5, "update", 7, progress=0.25, interval=0.05)
    assert made.memory is trial.records.memory and made.level == 3
    assert made.masks is trial.runner.network.masks and made.image == (1, 8, 8)
    assert (made.sparsity, made.progress, made.interval, made.last) == (0.5, 0.25, 0.05, True)


@pytest.mark.parametrize("method", ["taylor_filter", "wanda", "snip", "hrank"])
def test_what_a_method_decides_does_not_depend_on_the_batch_of_the_recipe(
    open_trial: Callable[..., Trial], tmp_path: Path, method: str
) -> None:
    decided = []
    for batch in (48, 400):
        recipe = SPEC.recipe.model_copy(update={"batch": batch})
        model = "tests.contract.small_networks:residual"
        spec = SPEC.model_copy(update={"model": model, "recipe": recipe})
        inputs = make_inputs(open_trial(spec, tmp_path / str(batch))).make(0.5, "prune", 1)
        pruned = build_method(method, {}).prune(inputs)
        decided.append(pruned.keep if isinstance(pruned, Smaller) else pruned)
    for name, value in decided[0].items():
        assert torch.equal(value, decided[1][name])
