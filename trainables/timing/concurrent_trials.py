"""Trials side by side on one device, timed: how many images a second they train together."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass
from queue import Empty
from threading import BrokenBarrierError
from typing import TYPE_CHECKING, Any

from pruning.phases import Train
from trainables.training.process import settle

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

    from trainables.environment import Environment
    from trainables.trial_spec import TrialSpec

WARM_UP = 3  # batches that are not timed: allocations, kernels chosen
LONGEST = 300.0  # seconds that opening and warming up may take


@dataclass(frozen=True)
class Speed:
    """Images a second of all trials together; 0, with the reason, where so many do not run."""

    images_per_second: float
    error: str = ""


def time_together(
    spec: TrialSpec, environment: Environment, trials: int, *, seconds: float = 5.0
) -> Speed:
    """Train copies of a trial at once, each in a process of its own, and count.

    Args:
        spec: a dense trial that trains at least one epoch; it is trained eagerly, compiled or not
            is not asked.
        environment: its store should be a temporary one.
        seconds: for how long, after all of them have warmed up.
    """
    recipe = spec.recipe.model_copy(update={"compile": False})
    plain = spec.model_copy(update={"recipe": recipe})
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(trials), context.Queue()
    workers = [
        context.Process(
            target=_train, args=(plain, environment, seconds, barrier, answers), daemon=True
        )
        for _ in range(trials)
    ]
    for worker in workers:
        worker.start()
    found = [_answer(answers, seconds) for _ in workers]
    for worker in workers:
        worker.join(10)
        worker.kill()
    error = next((answer for answer in found if isinstance(answer, str) and answer), "")
    return Speed(0.0, error) if error else Speed(sum(float(answer) for answer in found))


def _answer(answers: Any, seconds: float) -> float | str:
    """A worker's rate, or why it has none."""
    try:
        return answers.get(timeout=LONGEST + 2 * seconds)  # type: ignore[no-any-return]
    except Empty:
        return "a trial did not answer: it may have been ended for want of memory"


def _train(
    spec: TrialSpec, environment: Environment, seconds: float, barrier: Barrier, answers: Any
) -> None:
    """One trial of those side by side."""
    try:
        answers.put(_rate(spec, environment, seconds, barrier))
    except BrokenBarrierError:
        answers.put("not all trials came so far as to train")
    except Exception as error:
        barrier.abort()
        answers.put(" ".join(f"{type(error).__name__}: {error}".split())[:300])


def _rate(spec: TrialSpec, environment: Environment, seconds: float, barrier: Barrier) -> float:
    import torch

    from trainables.phase_runner import Course

    settle(environment.threads)
    course = Course(spec, environment)
    course.begin()
    index = next(i for i, phase in enumerate(course.phases) if isinstance(phase, Train))
    steps, epoch = course.images.batches_per_epoch(spec.recipe.batch), 0

    def train(until: float) -> int:
        """Walk until then, at least one batch; returns how many."""
        nonlocal epoch
        walked = -course.batches
        while True:
            if course.walk(index, epoch, epoch, lambda: time.perf_counter() >= until):
                epoch, walked = epoch + 1, walked + steps
            if time.perf_counter() >= until:
                break
        if environment.device == "cuda":
            torch.cuda.synchronize()
        return walked + course.batches

    for _ in range(WARM_UP):
        train(0.0)
    barrier.wait(LONGEST)
    began = time.perf_counter()
    batches = train(began + seconds)
    images = batches * min(spec.recipe.batch, len(course.images.data.train_x))
    return images / (time.perf_counter() - began)
