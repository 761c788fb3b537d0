"""Real trials that train side by side."""

from pathlib import Path

from trainables.environment import Environment
from trainables.timing.concurrent_trials import time_concurrent_trials
from trainables.training.recipe import Recipe
from trainables.trial_spec import TrialSpec


def test_trials_train_side_by_side_and_one_that_fails_says_why(tmp_path: Path) -> None:
    spec = TrialSpec(
        dataset="digits", model="mlp", method="dense", seed=0, recipe=Recipe(epochs=2, batch=100)
    )
    speed = time_concurrent_trials(spec, Environment(store=str(tmp_path)), 2, seconds=0.2)
    assert speed.images_per_second > 100 and speed.error == ""
    missing = spec.model_copy(update={"dataset": "nowhere"})
    environment = Environment(store=str(tmp_path), data_dir=str(tmp_path))
    speed = time_concurrent_trials(missing, environment, 1, seconds=0.2)
    assert speed.images_per_second == 0
    errors = ("nowhere", "parquet", "not all trials")
    assert any(word in speed.error.lower() for word in errors)
