"""Few trials on several GPUs: each GPU gets as few of them as it must."""

from collections.abc import Iterator

import pytest
import ray

from sweeps.running.gpu_spread import count_gpus, spread_over_gpus
from sweeps.study_file.study_fields import Resources


@pytest.mark.parametrize(
    ("wanted", "trials", "gpus", "part"),
    [
        (0.25, 4, 4, 1.0),
        (0.25, 8, 4, 0.5),
        (0.25, 5, 4, 0.5),
        (0.125, 12, 4, 0.3333),  # three of them fit a GPU, four do not
        (0.125, 11, 2, 0.1666),
        (0.25, 16, 4, 0.25),
        (0.25, 100, 4, 0.25),
        (0.25, 3, 1, 0.3333),
        (0.25, 0, 4, 0.25),
        (0.25, 4, 0, 0.25),
        (1, 1, 8, 1),
        (0, 4, 4, 0),
        (2, 1, 8, 2),
    ],
)
def test_trials_are_spread_over_the_gpus(
    wanted: float, trials: int, gpus: int, part: float
) -> None:
    resources = Resources(gpus_per_trial=wanted, cpus_per_trial=max(1, int(wanted)))
    spread = spread_over_gpus(resources, trials, gpus)
    assert spread.gpus_per_trial == part
    assert spread == resources.model_copy(update={"gpus_per_trial": part})


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cluster that says that it has two GPUs."""
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray.shutdown()  # another test of this process may have left it
    ray.init(address="local", num_cpus=4, num_gpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_ray_puts_parts_on_one_gpu_and_what_is_spread_on_both(two_gpus: None) -> None:
    @ray.remote(num_cpus=1)
    class Trial:
        def gpu(self) -> list[str]:
            return [str(index) for index in ray.get_gpu_ids()]

    def used(part: float) -> set[str]:
        trials = [Trial.options(num_gpus=part).remote() for _ in range(2)]
        found = {index for trial in trials for index in ray.get(trial.gpu.remote())}
        for trial in trials:
            ray.kill(trial)
        return found

    assert count_gpus() == 2
    part = spread_over_gpus(Resources(gpus_per_trial=0.25), 2, count_gpus()).gpus_per_trial
    assert len(used(part)) == 2
    assert len(used(0.25)) == 1, "Ray spreads by itself: gpu_spread.py is not needed any more"
