"""The time of an epoch, from some batches of it."""

from pathlib import Path

import pytest

from trainables.environment import Environment
from trainables.timing import epoch_time
from trainables.training.recipe import Recipe
from trainables.trial_spec import TrialSpec


@pytest.mark.parametrize(("batch", "steps"), [(32, 41), (2000, 1)])
def test_an_epoch_takes_as_long_as_its_batches_and_its_evaluation(
    batch: int, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(epochs=10, precision="fp32", batch=batch)
    spec = TrialSpec(dataset="digits", model="mlp", method="dense", seed=0, recipe=recipe)
    # The clock goes on by a second whenever it is read, which is once after each batch.
    clock = iter(range(1000))
    monkeypatch.setattr(epoch_time.time, "perf_counter", lambda: float(next(clock)))
    seconds = epoch_time.time_epoch(spec, Environment(store=str(tmp_path)), seconds=5.0)
    assert steps <= seconds <= 2 * steps + 2
