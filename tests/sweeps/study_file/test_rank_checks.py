"""What several ranks ask of resources and recipes, and what each of them has.

Covers: sweeps/study_file/study_fields.py.
"""

from typing import Any

import pytest

from sweeps.cli.study_launch import make_environment
from sweeps.study_file.rank_checks import check_ranks
from sweeps.study_file.study import StudySpec, build_study
from sweeps.study_file.study_fields import Resources
from trainables.storage.store import Store
from trainables.training.recipe import Recipe


@pytest.mark.parametrize(
    ("given", "ranks", "threads", "workers"),
    [
        ({}, 1, 1, 0),
        ({"cpus_per_trial": 4}, 1, 4, 3),
        ({"cpus_per_trial": 4, "ranks_per_trial": 2}, 2, 2, 1),
        ({"cpus_per_trial": 2, "gpus_per_trial": 0.25}, 1, 2, 2),
        ({"cpus_per_trial": 16, "gpus_per_trial": 1, "ranks_per_trial": 1}, 1, 16, 16),
        ({"cpus_per_trial": 32, "gpus_per_trial": 4}, 4, 8, 8),
        ({"cpus_per_trial": 9, "gpus_per_trial": 4, "loader_workers": 6}, 4, 2, 2),
    ],
)
def test_each_rank_has_its_part_of_the_cores(
    given: dict[str, Any], ranks: int, threads: int, workers: int
) -> None:
    resources = Resources(**given)
    assert (resources.ranks, resources.threads, resources.workers) == (ranks, threads, workers)


def make_study(**resources: Any) -> StudySpec:
    raw: dict[str, Any] = {
        "name": "s",
        "dataset": "digits",
        "model": "mlp",
        "methods": ["magnitude"],
    }
    raw |= {"sparsities": [0.5], "seeds": [0], "resources": resources}
    return build_study(raw, where="test")


def test_trials_run_with_as_many_ranks_as_gpus() -> None:
    study = make_study(cpus_per_trial=8, gpus_per_trial=2)
    environment = make_environment(study, Store.at("out"))
    assert (environment.device, environment.ranks, environment.threads) == ("cuda", 2, 4)
    assert environment.sharing == 1


def test_recipes_of_one_rank_may_have_any_batch() -> None:
    check_ranks(Resources(), {"recipe": Recipe(batch=2, compile=True)})
    with pytest.raises(ValueError, match=r"retrain\.batch must be at least 16, but got 2"):
        check_ranks(
            Resources(gpus_per_trial=8, cpus_per_trial=8),
            {"recipe": Recipe(), "retrain": Recipe(batch=2)},
        )
