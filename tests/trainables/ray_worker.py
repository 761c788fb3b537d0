"""The adapter to Ray without a cluster: what it is given, and all that it returns."""

from typing import Any

from trainables.environment import Environment
from trainables.ray_trainable import RayTrial
from trainables.training.recipe import Recipe
from trainables.trial_spec import TrialSpec

SPEC = TrialSpec(
    dataset="digits", model="mlp", method="dense", seed=1, recipe=Recipe(epochs=3, batch=100)
)


def make_config(spec: TrialSpec, environment: Environment) -> dict[str, Any]:
    """What Ray gives a worker for a trial."""
    return {
        "spec": spec.model_dump(mode="json"),
        "environment": environment.model_dump(mode="json"),
    }


def results(worker: RayTrial) -> list[dict[str, Any]]:
    given = [worker.step()]
    while not given[-1]["done"]:
        given.append(worker.step())
    return given
