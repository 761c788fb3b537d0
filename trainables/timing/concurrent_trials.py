"""Trials side by side on one device, timed: how many images a second they train together."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import dataclass
from queue import Empty
from threading import BrokenBarrierError
from typing import TYPE_CHECKING, Any

from pruning.phases import Train
from trainables.training.process import set_up_gpu, set_up_process
from trainables.training.step_graph import UNTIMED_STEPS

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

    from trainables.environment import Environment
    from trainables.trial_spec import TrialSpec

LONGEST_START = 600.0  # seconds that opening a trial, compiling and warming up may take


@dataclass(frozen=True)
class TrainingSpeed:
    """Images a second of all trials together; 0, with the reason, where so many cannot run."""

    images_per_second: float
    error: str = ""


def time_concurrent_trials(
    spec: TrialSpec,
    environment: Environment,
    trials: int,
    *,
    gpus: int = 1,
    seconds: float = 5.0,
) -> TrainingSpeed:
    """Train copies of a trial at once, each in a process of its own, and count.

    Args:
        spec: a dense trial that trains at least one epoch, compiled if its recipe says so.
        trials: on each GPU, or on the CPU.
        gpus: of this machine on which they are trained, the first ones.
        environment: its store should be a temporary one.
        seconds: for how long, after all of them have warmed up.
    """
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(trials * gpus), context.Queue()
    shared = environment.model_copy(update={"sharing_gpu": trials})
    workers = [
        context.Process(
            target=_train, args=(spec, shared, number % gpus, seconds, barrier, answers)
        )
        for number in range(trials * gpus)
    ]
    for worker in workers:
        worker.daemon = True
        worker.start()
    rates = [_receive(answers, seconds) for _ in workers]
    for worker in workers:
        worker.join(10)
        worker.kill()
    for rate in rates:
        if isinstance(rate, str):
            return TrainingSpeed(0.0, rate)
    return TrainingSpeed(sum(float(rate) for rate in rates))


def _receive(answers: Any, seconds: float) -> float | str:
    """Images a second of a worker, or why it has none."""
    try:
        return answers.get(timeout=LONGEST_START + 2 * seconds)  # type: ignore[no-any-return]
    except Empty:
        return "a trial did not answer: it may have been ended for want of memory"


def _train(
    spec: TrialSpec,
    environment: Environment,
    gpu: int,
    seconds: float,
    barrier: Barrier,
    answers: Any,
) -> None:
    """What a worker does: train one trial, and send its images a second or an error."""
    try:
        if environment.device == "cuda":
            os.environ["CUDA_VISIBLE_DEVICES"] = name_gpu(gpu)
        answers.put(_rate(spec, environment, seconds, barrier))
    except BrokenBarrierError:
        answers.put("not all trials got as far as training")
    except Exception as error:
        barrier.abort()
        answers.put(" ".join(f"{type(error).__name__}: {error}".split())[:300])


def name_gpu(number: int) -> str:
    """A GPU as the variable CUDA_VISIBLE_DEVICES names it: one of those that are there already, if
    that is so."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[number].strip() if visible else str(number)


def _rate(spec: TrialSpec, environment: Environment, seconds: float, barrier: Barrier) -> float:
    """Images a second of one trial, from the moment at which all have warmed up."""
    from trainables.phase_runner import PhaseRunner
    from trainables.timing.stopwatch import wait_for_device

    set_up_process(environment.threads)
    if environment.device == "cuda":
        set_up_gpu(sharing=environment.sharing_gpu, deterministic=environment.deterministic)
    runner = PhaseRunner(spec, environment)
    runner.begin()
    index = next(i for i, phase in enumerate(runner.phases) if isinstance(phase, Train))
    per_epoch, epoch = runner.loader.batches_per_epoch(spec.recipe.batch), 0

    def train(until: float) -> int:
        """Train until then, at least one batch; returns how many."""
        nonlocal epoch
        batches = -runner.batches
        while True:
            if runner.run_step(index, epoch, epoch, lambda: time.perf_counter() >= until):
                epoch, batches = epoch + 1, batches + per_epoch
            if time.perf_counter() >= until:
                break
        wait_for_device(runner.network.device)
        return batches + runner.batches

    for _ in range(UNTIMED_STEPS):
        train(0.0)
    barrier.wait(LONGEST_START)
    began = time.perf_counter()
    batches = train(began + seconds)
    images = batches * min(spec.recipe.batch, runner.loader.count("training"))
    return images / (time.perf_counter() - began)
