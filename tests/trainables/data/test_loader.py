"""The data loader: what it serves, and trials that may not read the test set.

Covers: trainables/data/loader.py, trainables/data/loader_interface.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor

from trainables.data.loader import ResidentLoader, TestSetWithheld, make_loader
from trainables.data.loader_interface import Split, evaluation_batch
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec, dense_spec

RECIPE = Recipe(epochs=1, batch=400, lr=0.05, precision="fp32", augment="none")


def make(**changes: object) -> TrialSpec:
    first = TrialSpec(
        dataset="digits",
        model="mlp",
        method="synflow",
        sparsities=(0.9,),
        seed=3,
        recipe=RECIPE,
        test=False,
    )
    return first.model_copy(update=changes)


def test_the_images_of_a_process_are_loaded_once(tmp_path: Path) -> None:
    def make_digits(*, hold_out: bool = True, test: bool = True) -> ResidentLoader:
        made = make_loader(
            "digits", None, str(tmp_path), hold_out=hold_out, test=test, device="cpu"
        )
        assert isinstance(made, ResidentLoader)
        return made

    first, withheld, joined = make_digits(), make_digits(test=False), make_digits(hold_out=False)
    assert make_digits() is first and withheld.pixels is first.pixels
    counts = [
        [loader.count(split) for split in get_args(Split)] for loader in (first, withheld, joined)
    ]
    assert counts == [[1295, 143, 359], [1295, 143, 0], [1438, 0, 359]]
    assert first.batches_per_epoch(100) == 13 and first.data.image == (1, 8, 8)


@pytest.mark.parametrize(
    ("device", "size", "images"),
    [
        ("cuda", 32, 1000),
        ("cuda", 64, 1000),
        ("cuda", 224, 250),
        ("cpu", 32, 250),
        ("cpu", 224, 62),
    ],
)
def test_fewer_large_images_are_evaluated_at_once(device: str, size: int, images: int) -> None:
    assert evaluation_batch(device, (3, size, size)) == images


def test_batches_of_a_loader_are_those_of_the_data_set(tmp_path: Path) -> None:
    loader = make_loader("digits", None, str(tmp_path), hold_out=True, test=True, device="cpu")
    assert [len(y) for _, y in loader.evaluation_batches("test")] == [250, 109]

    def train(skip: int) -> list[Tensor]:
        seeded = torch.Generator().manual_seed(3)
        batches = loader.training_batches(batch=400, augment="crop", generator=seeded, skip=skip)
        return [x for x, _ in batches]

    whole, rest = train(0), train(2)
    assert [len(x) for x in whole] == [400, 400, 400, 95]
    assert all(torch.equal(x, other) for x, other in zip(whole[2:], rest, strict=True))


def test_a_draw_is_without_replacement_and_by_its_generator(tmp_path: Path) -> None:
    loader = make_loader("digits", None, str(tmp_path), hold_out=True, test=True, device="cpu")

    def draw(count: int, seed: int) -> Tensor:
        seeded = torch.Generator().manual_seed(seed)
        return torch.cat([x for x, _ in loader.draw(count, batch=64, generator=seeded)])

    assert torch.equal(draw(100, 1), draw(100, 1)) and not torch.equal(draw(100, 1), draw(100, 2))
    assert len(draw(100, 1)) == 100 and len(draw(5000, 1)) == 1295


def test_reading_the_test_set_in_a_search_is_an_error(open_trial: Callable[..., Trial]) -> None:
    trial = open_trial(make())
    with pytest.raises(TestSetWithheld, match="the test set must not be read in a search"):
        trial.runner.loader.evaluation_batches("test")
    assert trial.runner.loader.count("test") == 0
    assert len(list(trial.runner.loader.evaluation_batches("validation"))) == 1


def test_a_recipe_that_records_the_best_test_epoch_ends_such_a_trial(
    open_trial: Callable[..., Trial],
) -> None:
    trial = open_trial(make(recipe=RECIPE.model_copy(update={"record_best_test": True})))
    with pytest.raises(TestSetWithheld):
        trial.run()


def test_rows_are_those_of_an_ordinary_trial_without_the_test_set(
    open_trial: Callable[..., Trial],
) -> None:
    searched, ordinary = open_trial(make()), open_trial(make(test=True))
    searched.run()
    ordinary.run()
    (row,), (other,) = searched.records.rows, ordinary.records.rows
    columns = {"test_top1", "test_top5", "test_loss"}
    assert all(row[name] is None and other[name] is not None for name in columns)
    assert row["digest"] == other["digest"] and row["val_top1"] == other["val_top1"]
    # What one trial may not see, another one in the process may.
    assert ordinary.runner.loader.count("test") > 0


def test_the_key_tells_and_ordinary_keys_stay() -> None:
    spec = make(test=True)
    assert (
        "test" not in spec.identity and make().identity["test"] is False and make().key != spec.key
    )
    assert dense_spec(make()).test is False and dense_spec(spec).test is True
