"""Real trials that train side by side."""

from pathlib import Path

import pytest

from trainables.environment import Environment
from trainables.timing.concurrent_trials import name_gpu, time_concurrent_trials
from trainables.training.recipe import Recipe
from trainables.trial_spec import TrialSpec


def test_trials_train_side_by_side_and_one_that_fails_says_why(tmp_path: Path) -> None:
    spec = TrialSpec(
        dataset="digits", model="mlp", method="dense", seed=0, recipe=Recipe(epochs=2, batch=100)
    )
    environment = Environment(store=str(tmp_path))
    speed = time_concurrent_trials(spec, environment, 1, gpus=2, seconds=0.2)
    assert speed.images_per_second > 100 and speed.error == ""
    missing = spec.model_copy(update={"dataset": "nowhere"})
    environment = Environment(store=str(tmp_path), data_dir=str(tmp_path))
    speed = time_concurrent_trials(missing, environment, 1, seconds=0.2)
    assert speed.images_per_second == 0
    errors = ("nowhere", "parquet", "not all trials")
    assert any(word in speed.error.lower() for word in errors)


@pytest.mark.parametrize(
    ("visible", "named"), [(None, ["0", "1"]), ("", ["0", "1"]), ("3, GPU-5a", ["3", "GPU-5a"])]
)
def test_a_trial_sees_the_gpu_that_it_is_for(
    visible: str | None, named: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [name_gpu(number) for number in range(2)] == named
