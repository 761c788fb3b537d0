"""How long an epoch takes on this machine, from some seconds of it."""

import time

import torch

from pruning.phases import Train
from trainables.environment import Environment
from trainables.phase_runner import Course
from trainables.training.process import settle
from trainables.trial_spec import TrialSpec

SECONDS = 3.0
WARM_UP = 2  # batches that are not timed: allocations, kernels chosen


def time_epoch(spec: TrialSpec, environment: Environment, *, seconds: float = SECONDS) -> float:
    """Seconds that one epoch of a trial's training takes, its evaluation on the validation images
    included.

    The trial begins anew, so it must be one that starts from its own first weights.

    Args:
        environment: where to train; its store should be a temporary one, because weights may be
            published there.
        seconds: for how long to train at most.
    """
    settle(environment.threads)
    course = Course(spec, environment)
    course.begin()
    index, phase = next((i, one) for i, one in enumerate(course.phases) if isinstance(one, Train))
    epoch = phase.start
    for _ in range(WARM_UP):
        if course.walk(index, epoch, 0, lambda: True):
            epoch += 1
    _settle(environment)
    batches, began = course.batches, time.perf_counter()
    until = began + seconds
    if course.walk(index, epoch, 0, lambda: time.perf_counter() >= until):
        _settle(environment)
        steps = course.images.batches_per_epoch(spec.recipe.batch)
        return (time.perf_counter() - began) * steps / max(1, steps - batches)
    _settle(environment)
    each = (time.perf_counter() - began) / max(1, course.batches - batches)
    data = course.images.data
    evaluation = (
        len(data.val_x) / len(data.train_x) / 3
    )  # a forward pass is a third of a training step
    return each * course.images.batches_per_epoch(spec.recipe.batch) * (1 + evaluation)


def _settle(environment: Environment) -> None:
    """Wait until a GPU has done what it was asked to."""
    if environment.device == "cuda":
        torch.cuda.synchronize()
